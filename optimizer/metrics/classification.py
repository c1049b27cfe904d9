"""Metrics of class scores: top1, top5, auc, f1."""

from __future__ import annotations

import numpy as np

from edge_runtime.inference.engine import Array
from optimizer.metrics.labels import columns
from optimizer.metrics.metric import Resampled
from optimizer.metrics.resample import ratio, share, sums_by_group


def top1(outputs: Array, labels: Array) -> float:
    """Share of samples whose largest score is at the label; a sample with a NaN score is wrong."""
    return float(_first(outputs, labels).mean())


def top1_resampled(outputs: Array, labels: Array) -> Resampled:
    """Return `top1` as a function of counts."""
    return share(_first(outputs, labels))


def top5(outputs: Array, labels: Array) -> float:
    """Share of samples whose label is among the five largest scores; a sample with a NaN score is wrong."""
    return float(_among_five(outputs, labels).mean())


def top5_resampled(outputs: Array, labels: Array) -> Resampled:
    """Return `top5` as a function of counts."""
    return share(_among_five(outputs, labels))


def auc(outputs: Array, labels: Array) -> float:
    """Area under the ROC curve of the last score, labels 0 and 1; ties count half (Mann-Whitney U).

    NaN where only one class is present: the curve does not exist; or where a score is NaN.
    """
    return float(auc_resampled(outputs, labels)(np.ones((1, len(outputs))))[0])


def auc_resampled(outputs: Array, labels: Array) -> Resampled:
    """Return `auc` as a function of counts: of all pairs, how many have the positive above the negative."""
    scores = columns(outputs)[:, -1]
    positive = labels.ravel() > 0.5
    defined = not np.isnan(scores).any()

    def of(counts: Array) -> Array:
        positives, negatives = (sums_by_group(counts * chosen, scores) for chosen in (positive, ~positive))
        below = np.cumsum(negatives, axis=1) - negatives / 2
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        return ratio((positives * below).sum(axis=1), pairs if defined else np.zeros_like(pairs))

    return of


def f1(outputs: Array, labels: Array) -> float:
    """F1 score of class 1: the larger score with two or more columns, above 0.5 with a single one."""
    return float(f1_resampled(outputs, labels)(np.ones((1, len(outputs))))[0])


def f1_resampled(outputs: Array, labels: Array) -> Resampled:
    """Return `f1` as a function of counts."""
    rows = columns(outputs)
    predicted = best(rows) == 1 if rows.shape[1] > 1 else rows[:, 0] > 0.5
    actual = labels.ravel() == 1

    def of(counts: Array) -> Array:
        return ratio(counts @ (2.0 * (predicted & actual)), counts @ (predicted * 1.0 + actual))

    return of


def best(rows: Array) -> Array:
    """Return the column of the largest score, -1 where a score is NaN."""
    return np.where(np.isnan(rows).any(axis=1), -1, rows.argmax(axis=1))


def _first(outputs: Array, labels: Array) -> Array:
    hits: Array = best(columns(outputs)) == labels.ravel()
    return hits


def _among_five(outputs: Array, labels: Array) -> Array:
    rows = columns(outputs)
    five = np.argpartition(rows, -min(5, rows.shape[1]), axis=1)[:, -5:]
    hits: Array = (five == labels.reshape(-1, 1)).any(axis=1) & ~np.isnan(rows).any(axis=1)
    return hits
