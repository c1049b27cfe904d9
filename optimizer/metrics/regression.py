"""Metrics of values: rmse, mae."""

from __future__ import annotations

import numpy as np

from edge_runtime.inference.engine import Array
from optimizer.metrics.labels import columns, same_size
from optimizer.metrics.metric import Resampled
from optimizer.metrics.resample import share


def rmse(outputs: Array, labels: Array) -> float:
    """Root mean squared error, in the output's unit."""
    return float(np.sqrt(np.mean(_difference(outputs, labels) ** 2)))


def rmse_resampled(outputs: Array, labels: Array) -> Resampled:
    """Return `rmse` as a function of counts."""
    mean = share(columns(_difference(outputs, labels) ** 2).mean(axis=1))

    def of(counts: Array) -> Array:
        return np.sqrt(mean(counts))

    return of


def mae(outputs: Array, labels: Array) -> float:
    """Mean absolute error, in the output's unit."""
    return float(np.mean(np.abs(_difference(outputs, labels))))


def mae_resampled(outputs: Array, labels: Array) -> Resampled:
    """Return `mae` as a function of counts."""
    return share(columns(np.abs(_difference(outputs, labels))).mean(axis=1))


def _difference(outputs: Array, labels: Array) -> Array:
    """Return outputs - labels in float64, samples first.

    Raises:
        BadInput: E-METRIC-SHAPE, their sizes differ.
    """
    same_size(outputs, labels)
    return columns(outputs).astype(np.float64) - labels.reshape(len(outputs), -1)
