"""What rounding to a grid and clipping to a range cost, read from a histogram."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optimizer.calibrate.histogram import Histogram


def expected_error(histogram: Histogram, low: float, high: float, bits: int = 8) -> float:
    """Return the mean squared quantization error relative to the signal's power; 0.0 where all values are zero.

    Args:
        histogram: What was observed.
        low: Lower end of the range; taken as 0 where it is above.
        high: Upper end; taken as 0 where it is below.
        bits: Width of the codes.
    """
    power = float(nonzero_counts(histogram) @ np.square(histogram.centers))
    if power == 0.0:
        return 0.0
    error = squared_error(histogram, np.array([low]), np.array([high]), bits)
    return float(error[0]) / power


def squared_error(
    histogram: Histogram, lows: NDArray[np.float64], highs: NDArray[np.float64], bits: int = 8
) -> NDArray[np.float64]:
    """Return the summed squared error of all counted values, for each candidate range.

    The grid is that of QuantizeLinear with an asymmetric unsigned type: scale = (high - low) / (2^bits - 1), the zero
    point rounded to a code, so that zero is exact. The values of a bin count as spread evenly over it: the error of its
    middle plus width^2 / 12, exact wherever the whole bin takes one code. Exact zeros cost nothing.
    """
    filled = np.flatnonzero(counts := nonzero_counts(histogram))
    centers, counts = histogram.centers[filled], counts[filled]
    top = 2.0**bits - 1
    lows, highs = np.minimum(lows, 0.0)[:, None], np.maximum(highs, 0.0)[:, None]
    scales = (highs - lows) / top
    safe = np.where(scales > 0, scales, 1.0)  # an empty range: every value becomes zero
    zero_points = np.round(-lows / safe)
    last = np.where(scales > 0, top, 0.0)
    codes = centers / safe
    np.rint(codes, out=codes)
    np.clip(codes, -zero_points, last - zero_points, out=codes)
    codes *= safe
    codes -= centers
    np.square(codes, out=codes)
    spread = 0.0 if histogram.low == histogram.high else histogram.width**2 / 12
    return np.asarray(codes @ counts + spread * counts.sum())


def nonzero_counts(histogram: Histogram) -> NDArray[np.float64]:
    """Return the counts without the exact zeros, which every range represents without error."""
    counts = histogram.counts.astype(np.float64)
    if histogram.zeros:
        counts[round(-histogram.edge_low / histogram.width)] -= histogram.zeros
    return counts
