"""The demo's model, put through the optimizer as a user's own would be."""

from __future__ import annotations

from edge_runtime.inference.engine import Array
from edge_runtime.inference.engines import DEFAULT
from edge_runtime.inference.postprocess import Argmax
from edge_runtime.inference.preprocess import Preprocess
from optimizer import metrics
from optimizer.data import Dataset, dataset_from_arrays
from optimizer.demo.data import LABELS, MODEL, calibration, evaluation
from optimizer.evaluate import Budget
from optimizer.flow import optimize
from optimizer.load import LoadedModel, load_model
from optimizer.request import Identity, Request
from optimizer.result import Result
from optimizer.search import Progress

NAME = "bearing"
ALARM_ON = ("imbalance", "outer_race_fault")


def optimize_demo_model(progress: Progress) -> Result:
    """Make calibration and evaluation bursts, and find the fastest form within one point of accuracy."""
    model = load_model(MODEL)
    bursts, classes = evaluation()
    request = Request(
        calibration=_dataset("calibration bursts", calibration(), None, model),
        evaluation=_dataset("evaluation bursts", bursts, classes, model),
        metric=metrics.find("top1"),
        budget=Budget.parse("1pt"),
        identity=Identity(name=NAME, decision=Argmax(labels=LABELS, alarm_on=ALARM_ON)),
        engine=DEFAULT,  # the same wherever it is shown
        effort="quick",
    )
    return optimize(model, request, progress)


def _dataset(source: str, bursts: Array, classes: Array | None, model: LoadedModel) -> Dataset:
    return dataset_from_arrays({"x": bursts}, classes, model.inputs, Preprocess(), source)
