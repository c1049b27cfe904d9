"""Child: one JSON argument. Times all forms of one model interleaved and prints what it found as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import observed
from benchmarks.latency import Plan, Run, clock_for, compare
from edge_runtime.errors import BadInput
from edge_runtime.inference import engines
from edge_runtime.inference.engine import Engine
from edge_runtime.inference.ort import SessionSettings


def main(text: str) -> None:
    """Time `forms`, each with `model`, `session` and `engine`; the first is the reference.

    Prints one JSON object: `forms`, each with `speedup` and `milliseconds` as intervals or with `reason`, and what is
    known of the machine.
    """
    asked: dict[str, Any] = json.loads(text)
    with np.load(asked["samples"]) as archive:
        feed = {name: archive[name][:1] for name in archive.files}
    found: list[dict[str, Any]] = []
    runs: list[Run] = []
    for form in asked["forms"]:
        engine = _loaded(form, feed)
        found.append({"reason": engine} if isinstance(engine, str) else {"run": len(runs)})
        if not isinstance(engine, str):
            runs.append(lambda engine=engine: engine.run(feed))  # type: ignore[misc] # bound now, not in the loop's end
    with observed() as environment:
        plan = Plan(rounds=asked["rounds"], seed=asked["seed"])
        comparison = compare(runs, plan, clock=clock_for(1))
    for form in found:
        if "run" in form:
            index = form.pop("run")
            form["speedup"] = asdict(comparison.speedups[index])
            form["milliseconds"] = asdict(comparison.timings[index])
    machine = str(environment.host)
    report = {"forms": found, "machine": machine, "onnxruntime": environment.onnxruntime}
    print(json.dumps({**report, "doubts": environment.doubts()}))


def _loaded(form: dict[str, Any], feed: dict[str, Any]) -> Engine | str:
    """Return the engine after one successful call, or why there is none."""
    try:
        settings = SessionSettings(threads=1, config=form["session"])
        engine = engines.load(form["engine"], Path(form["model"]).read_bytes(), settings)
        engine.run(feed)
    except BadInput as error:
        return error.message
    return engine


if __name__ == "__main__":
    main(sys.argv[1])
