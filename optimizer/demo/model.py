"""The demo's model, put through the optimizer as a user's own would be."""

from __future__ import annotations

from edge_runtime.inference.engine import Tensor
from edge_runtime.inference.postprocess import Argmax
from edge_runtime.inference.preprocess import Preprocess
from optimizer import metrics
from optimizer.data import Dataset, dataset_from_arrays
from optimizer.demo.data import CALIBRATION_SEED, EVALUATION_SEED, LABELS, MODEL, labelled_bursts
from optimizer.evaluate import Budget
from optimizer.load import load_model
from optimizer.optimize import Progress, optimize
from optimizer.request import Identity, Request
from optimizer.result import Result

NAME = "bearing"
ALARM_ON = ("imbalance", "outer_race_fault")

_CALIBRATION_BURSTS = 240
_EVALUATION_BURSTS = 1500


def optimize_demo_model(progress: Progress) -> Result:
    """Make calibration and evaluation bursts, and find the fastest form within one point of accuracy."""
    model = load_model(MODEL)
    request = Request(
        calibration=_dataset(CALIBRATION_SEED, _CALIBRATION_BURSTS, model.inputs),
        evaluation=_dataset(EVALUATION_SEED, _EVALUATION_BURSTS, model.inputs),
        metric=metrics.find("top1"),
        budget=Budget.parse("1pt"),
        identity=Identity(name=NAME, decision=Argmax(labels=LABELS, alarm_on=ALARM_ON)),
    )
    return optimize(model, request, progress)


def _dataset(seed: int, count: int, inputs: tuple[Tensor, ...]) -> Dataset:
    bursts, classes = labelled_bursts(seed, count)
    source = f"{count} simulated bursts, seed {seed}"
    return dataset_from_arrays({inputs[0].name: bursts}, classes, inputs, Preprocess(), source)
