"""What watches over a working folder at the other end of ssh. Its text is sent there: it imports nothing of ours.

It says what that Python is, makes the folder, and stays until its standard input ends or has been silent for too long:
then our end is gone, and it kills what still runs there and removes the folder. A byte ``k`` kills what runs, any other
byte only shows that we are there. Python 3.6 must still understand this file, to be told that it is too old.
"""

import contextlib
import importlib.util
import json
import os
import platform
import select
import shutil
import signal
import struct
import sys
import sysconfig
import tempfile
import time

_ATTEMPTS = 100
_PAUSE = 0.05


def facts() -> "dict[str, object]":
    """Return what decides whether this Python can run models."""
    sys.path[:] = [path for path in sys.path if path]  # a folder "numpy" where we happen to be is no numpy
    managed = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")  # PEP 668
    in_venv = sys.prefix != sys.base_prefix
    return {
        "version": list(sys.version_info[:2]),
        "machine": platform.machine(),
        "bits": 8 * struct.calcsize("P"),
        "executable": sys.executable,
        "missing": [name for name in ("numpy", "onnxruntime") if importlib.util.find_spec(name) is None],
        "in_venv": in_venv,
        "takes_packages": importlib.util.find_spec("pip") is not None and (in_venv or not os.path.exists(managed)),
        "makes_venvs": importlib.util.find_spec("ensurepip") is not None,
    }


def marked(mark: bytes) -> "list[int]":
    """Return the processes that were started with this entry in their environment, and what they started."""
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{int(name)}/environ", "rb") as file:
            if mark in file.read().split(b"\0"):
                found.append(int(name))
    return found


def kill(mark: bytes) -> None:
    """Kill the marked processes and wait until they are gone."""
    for _ in range(_ATTEMPTS):
        found = marked(mark)
        if not found:
            return
        for process in found:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        time.sleep(_PAUSE)


def remove(folder: str) -> None:
    """Remove the folder, again where a file was made in it meanwhile."""
    for _ in range(_ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            return
        time.sleep(_PAUSE)


def stay(mark: bytes, silence: float) -> None:
    """Return when standard input has ended, or has brought nothing for `silence` seconds."""
    while select.select([0], [], [], silence)[0]:
        word = os.read(0, 1)
        if not word:
            return
        if word == b"k":
            kill(mark)


def main(token: str, silence: float) -> None:
    """Say what there is, in one line that begins with `token`, and watch."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(1))
    said = facts()
    try:
        folder = tempfile.mkdtemp(prefix="edgeopt-")
    except OSError as error:
        print(token, json.dumps(dict(said, folder="", fault=error.strerror)), flush=True)  # noqa: T201 - the answer
        return
    mark = os.fsencode(f"EDGEOPT_PLACE={folder}")
    try:
        print(token, json.dumps(dict(said, folder=folder, fault="")), flush=True)  # noqa: T201 - the answer
        stay(mark, silence)
    finally:
        kill(mark)
        remove(folder)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
