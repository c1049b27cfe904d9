"""From histograms to the ranges that quantizers are given, by method; every range includes zero."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from optimizer.calibrate.entropy import entropy
from optimizer.calibrate.histogram import Histogram
from optimizer.calibrate.squared_error import Density, expected_error, squared_error

__all__ = ["METHODS", "chosen_method", "entropy", "expected_error", "minmax", "mse", "percentile", "ranges_of"]

METHODS = ("auto", "minmax", "percentile", "entropy", "mse")
Range = tuple[float, float]

_PERCENTILE = 99.99
# A clipped range must beat the full one by this share: samples not seen may reach further than those seen.
_CLEARLY_BETTER = 0.05
# The search for the least error: shares of the full range's ends to begin with, on bins taken together by four, then
# finer and finer relative steps around the best pair, on all bins.
_SHARES = np.array([1 / 256, 1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 0.2, 0.3, 0.45, 0.6, 0.7, 0.8, 0.9, 1.0])
_MERGED = 4
_FINER = (0.1, 0.03, 0.01)


def ranges_of(histograms: Mapping[str, Histogram], method: str) -> dict[str, Range]:
    """Return tensor name -> (low, high), low <= 0 <= high.

    Args:
        histograms: What was observed, by tensor name.
        method: One of `METHODS`. ``auto`` takes, tensor by tensor, the method whose range has the least expected
            squared error, and ``minmax`` unless another is clearly better.

    Raises:
        KeyError: there is no such method.
    """
    return {name: _range(histogram, method) for name, histogram in histograms.items()}


def chosen_method(histogram: Histogram) -> str:
    """Return the method that ``auto`` takes for this tensor."""
    return _chosen(histogram)[0]


def _chosen(histogram: Histogram) -> tuple[str, Range]:
    """Return the method with the least expected squared error, ``minmax`` unless it is clearly less, and its range.

    ``entropy`` is no candidate: what it minimises is not the squared error, so it cannot beat ``mse`` at that.
    """
    ranges = {name: _METHODS[name](histogram) for name in ("minmax", "percentile", "mse")}
    errors = {name: expected_error(histogram, *bounds) for name, bounds in ranges.items()}
    best = min(errors, key=lambda name: errors[name])
    chosen = best if errors[best] < (1 - _CLEARLY_BETTER) * errors["minmax"] else "minmax"
    return chosen, ranges[chosen]


def minmax(histogram: Histogram) -> Range:
    """Return the exact smallest and largest value seen, with zero."""
    return min(histogram.low, 0.0), max(histogram.high, 0.0)


def percentile(histogram: Histogram) -> Range:
    """Return the range of the middle 99.99 % of the values: 0.005 % are cut at either end.

    Each end is a quantile of the piecewise linear distribution function through the bins' edges, so it lies within one
    bin of the sample's quantile. The share is cut in halves as in onnxruntime's PercentileCalibrator.
    """
    if not histogram.counts.any():
        return minmax(histogram)
    below = np.concatenate([[0], np.cumsum(histogram.counts)]) / histogram.counts.sum()
    edges = histogram.edge_low + np.arange(len(below)) * histogram.width
    tail = (1 - _PERCENTILE / 100) / 2
    low, high = np.interp([tail, 1 - tail], below, edges)
    least, most = minmax(histogram)
    return max(min(float(low), 0.0), least), min(max(float(high), 0.0), most)


def mse(histogram: Histogram) -> Range:
    """Return the range with the least expected squared error when rounded to 256 levels and clipped.

    A grid search over both ends, from coarse to fine: M. Nagel et al., "A White Paper on Neural Network Quantization",
    arXiv:2106.08295, section 3.1, equation 13. The error of each candidate comes from `squared_error`.
    """
    low, high = minmax(histogram)
    pairs = _pairs(_SHARES, _SHARES, low, high)
    best = _least(Density.of(histogram, _MERGED), pairs, low, high)
    density = Density.of(histogram)
    for step in _FINER:
        around = 1 + step * np.arange(-2, 3)
        # The full range stays a candidate, first: of equal errors, argmin takes the first.
        pairs = np.vstack([np.ones(2), best, _pairs(best[0] * around, best[1] * around, low, high)])
        best = _least(density, pairs, low, high)
    return float(best[0]) * low, float(best[1]) * high


def _least(density: Density, pairs: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    errors = squared_error(density, pairs[:, 0] * low, pairs[:, 1] * high)
    return np.asarray(pairs[int(np.argmin(errors))])


def _pairs(lows: NDArray[np.float64], highs: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Return all pairs of shares of the two ends, at most 1; an end that is zero has no choice."""
    lows = np.unique(np.minimum(lows, 1)) if low < 0 else np.ones(1)
    highs = np.unique(np.minimum(highs, 1)) if high > 0 else np.ones(1)
    return np.stack(np.meshgrid(lows[::-1], highs[::-1], indexing="ij"), axis=-1).reshape(-1, 2)


_METHODS: dict[str, Callable[[Histogram], Range]] = {
    "minmax": minmax,
    "percentile": percentile,
    "entropy": entropy,
    "mse": mse,
}


def _range(histogram: Histogram, method: str) -> Range:
    return _chosen(histogram)[1] if method == "auto" else _METHODS[method](histogram)


def outlier_ratio(histogram: Histogram) -> float | None:
    """Return the largest magnitude over the one that 99 % of the values stay below; None where that is zero."""
    if not histogram.counts.any():
        return None
    magnitudes = np.abs(histogram.centers)
    order = np.argsort(magnitudes, kind="stable")
    below = np.cumsum(histogram.counts[order]) / histogram.counts.sum()
    typical = float(magnitudes[order][np.searchsorted(below, 0.99)])
    return max(abs(histogram.low), abs(histogram.high)) / typical if typical > 0 else None
