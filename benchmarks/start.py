"""Where the packed runner begins: written for any Python 3, to say what is missing there instead of failing on it."""

import json
import os
import platform
import sys

LIBRARIES = ("numpy", "onnxruntime")
OLDEST = (3, 10)
LACKING = 43


def missing() -> "dict[str, str]":
    """Return what this Python lacks and what it says about it; empty where it has all."""
    if sys.version_info < OLDEST:
        return {"python": "it is Python {}.{}".format(*sys.version_info[:2])}
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # see edge_runtime/__init__.py
    found = {}
    for name in LIBRARIES:
        try:
            __import__(name)
        except ImportError as error:
            found[name] = str(error)
    return found


def main() -> None:
    """Run the job, or write down what is missing."""
    lacking = missing()
    if lacking:
        facts = {"missing": lacking, "python": platform.python_version(), "machine": platform.machine()}
        with open("missing.json", "w", encoding="utf-8") as file:
            json.dump(facts, file)
        sys.exit(LACKING)
    from benchmarks.runner import main as run  # noqa: PLC0415

    run(sys.argv[1:])


if __name__ == "__main__":
    main()
