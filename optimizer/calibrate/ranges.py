"""From histograms to the ranges that quantizers are given, by method; every range includes zero."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from optimizer.calibrate.entropy import entropy
from optimizer.calibrate.histogram import Histogram
from optimizer.calibrate.squared_error import expected_error, squared_error

__all__ = ["METHODS", "chosen_method", "entropy", "expected_error", "minmax", "mse", "percentile", "ranges_of"]

METHODS = ("auto", "minmax", "percentile", "entropy", "mse")
Range = tuple[float, float]

_PERCENTILE = 99.99
# A clipped range must beat the full one by this share: samples not seen may reach further than those seen.
_CLEARLY_BETTER = 0.05
# Shares of the full range's ends that the search for the least error begins with, and its later steps around the best.
_COARSE_SHARES = np.concatenate([2.0 ** -np.arange(9, 3, -1), np.arange(2, 17) / 16])
_FINER = (0.2, 0.07, 0.025, 0.01)


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
    errors = {name: expected_error(histogram, *of(histogram)) for name, of in _METHODS.items()}
    best = min(errors, key=lambda name: errors[name])
    return best if errors[best] < (1 - _CLEARLY_BETTER) * errors["minmax"] else "minmax"


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
    candidates = _pairs(_COARSE_SHARES, _COARSE_SHARES, low, high)
    for spread in (*_FINER, None):
        errors = squared_error(histogram, candidates[:, 0] * low, candidates[:, 1] * high)
        best = candidates[int(np.argmin(errors))]
        if spread is not None:
            around = 1 + spread * np.arange(-2, 3)
            candidates = np.vstack([best, _pairs(best[0] * around, best[1] * around, low, high)])
    return float(best[0]) * low, float(best[1]) * high


def _pairs(lows: NDArray[np.float64], highs: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Return all pairs of shares of the two ends, at most 1; an end that is zero has no choice."""
    lows = np.unique(np.minimum(lows, 1)) if low < 0 else np.ones(1)
    highs = np.unique(np.minimum(highs, 1)) if high > 0 else np.ones(1)
    # The widest range comes first: of equal errors, argmin takes it.
    return np.stack(np.meshgrid(lows[::-1], highs[::-1], indexing="ij"), axis=-1).reshape(-1, 2)


_METHODS: dict[str, Callable[[Histogram], Range]] = {
    "minmax": minmax,
    "percentile": percentile,
    "entropy": entropy,
    "mse": mse,
}


def _range(histogram: Histogram, method: str) -> Range:
    return _METHODS[chosen_method(histogram) if method == "auto" else method](histogram)


def outlier_ratio(histogram: Histogram) -> float | None:
    """Return the largest magnitude over the one that 99 % of the values stay below; None where that is zero."""
    if not histogram.counts.any():
        return None
    magnitudes = np.abs(histogram.centers)
    order = np.argsort(magnitudes, kind="stable")
    below = np.cumsum(histogram.counts[order]) / histogram.counts.sum()
    typical = float(magnitudes[order][np.searchsorted(below, 0.99)])
    return max(abs(histogram.low), abs(histogram.high)) / typical if typical > 0 else None
