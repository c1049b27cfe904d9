"""Metrics a budget can be stated in: one number for a model's outputs, with or without labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array
from optimizer import user_code


@dataclass(frozen=True)
class Metric:
    """How good outputs are.

    Attributes:
        name: As the user writes it.
        compute: (outputs, truth) -> number; both with samples along the first axis.
        higher_is_better: Direction.
        point: What ``1pt`` of a budget means: 0.01 for shares of 1, 1.0 for errors in the output's own unit.
        truth: What the second argument is: the user's labels, or the float32 model's outputs.
    """

    name: str
    compute: Callable[[Array, Array], float]
    higher_is_better: bool = True
    point: float = 0.01
    truth: str = "labels"

    @property
    def needs_labels(self) -> bool:
        """Tell whether the metric cannot be computed without labels."""
        return self.truth == "labels"


def find(name: str) -> Metric:
    """Return a built-in metric, or the user's ``module:function`` taking (outputs, labels), higher being better.

    Raises:
        BadInput: E-METRIC-UNKNOWN or E-USER-FUNCTION.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    if ":" in name:
        function = user_code.import_function(name)
        return Metric(name, lambda outputs, labels: _number(name, user_code.call(name, function, outputs, labels)))
    raise BadInput(
        "E-METRIC-UNKNOWN", f"there is no metric {name}", f"use one of {', '.join(BUILT_IN)}, or module:function"
    )


def score_output(outputs: Mapping[str, Array], wanted: str | None = None) -> Array:
    """Return the output a metric looks at: the one asked for, else the first with floating-point values.

    Raises:
        BadInput: E-METRIC-OUTPUT, there is no such output.
    """
    floats = {name: array for name, array in outputs.items() if _is_float(array)}
    name = wanted or next(iter(floats), None)
    if name is None or name not in outputs:
        raise BadInput(
            "E-METRIC-OUTPUT",
            f"there is no output {wanted or 'with floating-point values'} (outputs: {', '.join(outputs)})",
            "name one of the model's outputs: --score-output NAME",
        )
    return outputs[name]


def top1(outputs: Array, labels: Array) -> float:
    """Share of samples whose largest score is at the label."""
    return float((_rows(outputs).argmax(axis=1) == labels.ravel()).mean())


def top5(outputs: Array, labels: Array) -> float:
    """Share of samples whose label is among the five largest scores."""
    best = np.argpartition(_rows(outputs), -min(5, _rows(outputs).shape[1]), axis=1)[:, -5:]
    return float((best == labels.reshape(-1, 1)).any(axis=1).mean())


def auc(outputs: Array, labels: Array) -> float:
    """Area under the ROC curve of the last score, labels 0 and 1; ties count half (Mann-Whitney U).

    NaN where only one class is present: the curve does not exist.
    """
    positive = labels.ravel() > 0.5
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(_rows(outputs)[:, -1], return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = mean_ranks[inverse.ravel()][positive].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def f1(outputs: Array, labels: Array) -> float:
    """F1 score of class 1: the larger score with two or more columns, above 0.5 with a single one."""
    rows = _rows(outputs)
    predicted = rows.argmax(axis=1) == 1 if rows.shape[1] > 1 else rows[:, 0] > 0.5
    actual = labels.ravel() == 1
    denominator = int(predicted.sum() + actual.sum())
    return float(2 * (predicted & actual).sum() / denominator) if denominator else float("nan")


def rmse(outputs: Array, labels: Array) -> float:
    """Root mean squared error, in the output's unit."""
    return float(np.sqrt(np.mean(_difference(outputs, labels) ** 2)))


def mae(outputs: Array, labels: Array) -> float:
    """Mean absolute error, in the output's unit."""
    return float(np.mean(np.abs(_difference(outputs, labels))))


def agreement(outputs: Array, reference: Array) -> float:
    """Share of samples that give the same answer as the float32 model.

    Same means the same largest score; for outputs that are not one row of scores, every element within 1 % of the
    range of the float32 outputs.
    """
    if reference.ndim == 2 and reference.shape[1] > 1:
        return float((outputs.argmax(axis=1) == reference.argmax(axis=1)).mean())
    span = float(np.ptp(reference)) or 1.0
    far = np.abs(outputs.astype(np.float64) - reference) > 0.01 * span
    return float((~far.reshape(len(far), -1).any(axis=1)).mean())


BUILT_IN = {
    metric.name: metric
    for metric in (
        Metric("top1", top1),
        Metric("top5", top5),
        Metric("auc", auc),
        Metric("f1", f1),
        Metric("rmse", rmse, higher_is_better=False, point=1.0),
        Metric("mae", mae, higher_is_better=False, point=1.0),
        Metric("agreement", agreement, truth="float32"),
    )
}


def _rows(outputs: Array) -> Array:
    return outputs.reshape(len(outputs), -1)


def _difference(outputs: Array, labels: Array) -> Array:
    """Return outputs - labels in float64.

    Raises:
        BadInput: E-METRIC-SHAPE, their sizes differ.
    """
    if outputs.size != labels.size:
        raise BadInput(
            "E-METRIC-SHAPE",
            f"the model gives {outputs.size // len(outputs)} numbers a sample, the labels {labels.size // len(labels)}",
            "store as many numbers a sample in y as the model gives, or name the output: --score-output NAME",
        )
    difference: Array = outputs.reshape(-1).astype(np.float64) - labels.reshape(-1)
    return difference


def _number(name: str, value: object) -> float:
    if isinstance(value, (int, float, np.floating, np.integer)):
        return float(value)
    raise BadInput("E-USER-FUNCTION", f"{name} returned {type(value).__name__}, not a number", "return one float")


def _is_float(array: Array) -> bool:
    return bool(np.issubdtype(array.dtype, np.floating))
