"""Agreement with the float32 model: the metric that needs no labels."""

from __future__ import annotations

import numpy as np

from edge_runtime.inference.engine import Array
from optimizer.metrics.classification import best
from optimizer.metrics.metric import Resampled
from optimizer.metrics.resample import share


def agreement(outputs: Array, reference: Array) -> float:
    """Share of samples that give the same answer as the float32 model.

    Same means the same largest score; for outputs that are not one row of scores, every element within 1 % of the
    range of all float32 outputs.
    """
    return float(_same(outputs, reference).mean())


def agreement_resampled(outputs: Array, reference: Array) -> Resampled:
    """Return `agreement` as a function of counts; the range stays that of all samples."""
    return share(_same(outputs, reference))


def _same(outputs: Array, reference: Array) -> Array:
    if reference.ndim == 2 and reference.shape[1] > 1:
        same: Array = best(outputs) == best(reference)
        return same
    span = float(np.ptp(reference)) if reference.size else 0.0
    near = np.abs(outputs.astype(np.float64) - reference) <= 0.01 * (span if np.isfinite(span) and span else 1.0)
    equal = near | (outputs == reference) | (np.isnan(outputs) & np.isnan(reference))
    of_each: Array = equal.reshape(len(equal), -1).all(axis=1)
    return of_each
