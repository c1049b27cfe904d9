"""Metrics as functions of counts: how often each sample is in a resample.

A bootstrap that picks samples and computes the metric anew costs the metric for each resample. Sums over samples need
the samples once: the resample's sum is the counts' product with them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge_runtime.inference.engine import Array
from optimizer.metrics.metric import Resampled

_MOST_COUNTS = 1 << 22  # numbers made at once, 32 MiB


def picks(samples: int, resamples: int) -> Iterator[Array]:
    """Yield the indices of each resample, drawn with replacement: the same ones every time."""
    generator = np.random.default_rng(0)
    for _ in range(resamples):
        yield generator.integers(0, samples, samples)


def counts(samples: int, resamples: int) -> Iterator[Array]:
    """Yield the resamples of `picks` as counts [some resamples, samples], in blocks of bounded size."""
    block = max(1, _MOST_COUNTS // samples)
    found: list[Array] = []
    for pick in picks(samples, resamples):
        found.append(np.bincount(pick, minlength=samples).astype(np.float64))
        if len(found) == block:
            yield np.stack(found)
            found = []
    if found:
        yield np.stack(found)


def share(of_each: Array) -> Resampled:
    """Return the mean of one number per sample as a function of counts."""
    values = of_each.astype(np.float64)

    def of(counts: Array) -> Array:
        return ratio(counts @ values, counts.sum(axis=1))

    return of


def ratio(above: Array, below: Array) -> Array:
    """Return above / below, NaN where below is 0."""
    result: Array = np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below != 0)
    return result


def sums_by_group(weights: Array, values: Array) -> Array:
    """Return the sum of weights [resamples, samples] over samples of equal value, smallest value first."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    sums: Array = np.add.reduceat(weights[:, order], starts, axis=1)
    return sums
