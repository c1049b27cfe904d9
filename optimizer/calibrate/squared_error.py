"""What rounding to a grid and clipping to a range cost, read from a histogram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.calibrate.histogram import BINS, Histogram


def expected_error(histogram: Histogram, low: float, high: float, bits: int = 8) -> float:
    """Return the mean squared quantization error relative to the signal's power; 0.0 where all values are zero.

    Args:
        histogram: What was observed.
        low: Lower end of the range; taken as 0 where it is above.
        high: Upper end; taken as 0 where it is below.
        bits: Width of the codes.
    """
    centers = histogram.edge_low + (np.arange(BINS) + 0.5) * histogram.width
    power = float(np.dot(nonzero_counts(histogram), np.square(centers)))
    if power == 0.0:
        return 0.0
    return float(squared_error(Density.of(histogram), np.array([low]), np.array([high]), bits)[0]) / power


@dataclass(frozen=True)
class Density:
    """A histogram as values per unit, constant within a bin, without the exact zeros, which no range changes.

    Attributes:
        edges: float64 (n,), edges of the bins from the first filled one to the last.
        drops: float64 (n,), by how much the density falls at each edge.
    """

    edges: NDArray[np.float64]
    drops: NDArray[np.float64]

    @classmethod
    def of(cls, histogram: Histogram, merged: int = 1) -> Density:
        """Return the density, that many neighbouring bins taken together."""
        counts: NDArray[np.float64] = nonzero_counts(histogram).reshape(-1, merged).sum(axis=1)
        width = histogram.width * merged
        filled = np.flatnonzero(counts)
        first, last = (int(filled[0]), int(filled[-1])) if len(filled) else (0, 0)
        edges = histogram.edge_low + np.arange(first, last + 2, dtype=np.float64) * width
        heights = np.zeros(last - first + 3, np.float64)
        heights[1:-1] = counts[first : last + 1] / width
        return cls(edges, heights[:-1] - heights[1:])


def squared_error(
    density: Density, lows: NDArray[np.float64], highs: NDArray[np.float64], bits: int = 8
) -> NDArray[np.float64]:
    """Return the summed squared error of all values, for each candidate range.

    The grid is that of QuantizeLinear with an asymmetric unsigned type: scale = (high - low) / (2^bits - 1), the zero
    point rounded to a code, so that zero is exact. With s the scale and k the code of x, counted from the zero point,
    F(x) = k s^3 / 12 + (x - k s)^3 / 3 is an antiderivative of (x - k s)^2 that is continuous where k changes, so the
    error is the sum of density * (F(right edge) - F(left edge)): exact for values spread evenly within each bin.
    """
    top = 2.0**bits - 1
    lows, highs = np.minimum(lows, 0.0)[:, None], np.maximum(highs, 0.0)[:, None]
    scales = (highs - lows) / top
    safe = np.where(scales > 0, scales, 1.0)  # an empty range: every value becomes zero
    first = -np.rint(-lows / safe)
    last = np.where(scales > 0, first + top, first)
    positions = density.edges * (1 / safe)
    codes = np.rint(positions)
    np.maximum(codes, first, out=codes)
    np.minimum(codes, last, out=codes)
    positions -= codes
    integrals = positions * positions
    integrals *= positions
    integrals *= 4
    integrals += codes  # 12 F / s^3
    # Not @: for so little, threads of the BLAS library cost more than they save.
    sums = np.einsum("ij,j->i", integrals, density.drops)
    return np.asarray(np.maximum(sums * safe[:, 0] ** 3 / 12, 0.0))


def nonzero_counts(histogram: Histogram) -> NDArray[np.float64]:
    """Return the counts without the exact zeros."""
    counts = histogram.counts.astype(np.float64)
    if histogram.zeros:
        counts[round(-histogram.edge_low / histogram.width)] -= histogram.zeros
    return counts
