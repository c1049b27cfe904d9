"""Child: one JSON argument. Prints a model's metric, computed in the session that is timed.

The models' own `eval.py` creates its session by itself. On processors where uint8 x int8 sums saturate, a session's
entries decide about points of accuracy, so the script is given the session that was timed in place of its own; what it
computes with the outputs stays its own.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import onnxruntime

from edge_runtime.errors import EdgeoptError
from edge_runtime.inference import engines
from edge_runtime.inference.engine import Array, Engine, Feeds, Tensor
from edge_runtime.inference.ort import OrtEngine, SessionSettings


class Session:
    """The little of onnxruntime's session that an `eval.py` uses, served by the engine that is timed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get_inputs(self) -> tuple[Tensor, ...]:
        """Return the inputs, each with a name."""
        return self._engine.inputs

    def run(self, _names: None, feeds: Feeds) -> list[Array]:
        """Return all outputs in order."""
        return list(self._engine.run(feeds).values())


def main(text: str) -> None:
    """Score `model` in a session with the entries `session`, by the script `judge` or by `metric` on `evaluation`."""
    asked: dict[str, Any] = json.loads(text)
    settings = SessionSettings(config=asked["session"])
    engine = engines.load(asked["engine"], Path(asked["model"]).read_bytes(), settings)
    if asked["judge"]:
        # Made before, since the engine itself needs onnxruntime's own.
        vars(onnxruntime)["InferenceSession"] = lambda *_, **__: Session(engine)
        sys.argv = [asked["judge"], asked["model"], asked["evaluation"]]
        runpy.run_path(asked["judge"], run_name="__main__")
    else:
        print("value", _own_metric(asked, engine))


def _own_metric(asked: dict[str, Any], engine: Engine) -> float:
    from edge_runtime.inference.preprocess import Preprocess
    from optimizer import metrics
    from optimizer.data import load_dataset
    from optimizer.evaluate import Judge
    from optimizer.load import load_model

    reference = load_model(Path(asked["reference"]))
    data = load_dataset(asked["evaluation"], reference.inputs, Preprocess())
    judge = Judge.of(OrtEngine(reference.data), metrics.find(asked["metric"]), data, None)
    return judge.evaluate(engine, batch=1).value


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except EdgeoptError as error:
        sys.exit(f"error {error.code}: {error.message}")
