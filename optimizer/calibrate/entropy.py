"""The range that keeps most of the distribution: least Kullback-Leibler divergence, from cumulative sums."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optimizer.calibrate.histogram import BINS, Histogram
from optimizer.calibrate.squared_error import nonzero_counts

LEVELS = 256
_COARSE = 16  # candidates per end at first; then a few around the best one, ever closer, down to single bins
_AROUND = 3

Edges = NDArray[np.int64]


def entropy(histogram: Histogram) -> tuple[float, float]:
    """Return the range whose 256 levels diverge least from what was seen, or nearly so: not every range is tried.

    S. Migacz, "8-bit Inference with TensorRT", GPU Technology Conference 2017: P is the histogram cut to the range,
    with what lies outside added to its end bins; Q is the cut part alone, the mass of each level spread evenly over its
    filled bins; both are normalised, and the range with the least KL(P || Q) = sum of P log(P / Q) wins. Unlike there,
    both ends are searched, since the grid is asymmetric; and exact zeros are a cell of their own in P and Q, since
    quantizers keep them exact (else the peak that a ReLU leaves at zero would decide alone). As there, a range is at
    least as many bins wide as there are levels.
    """
    full = min(histogram.low, 0.0), max(histogram.high, 0.0)
    table = Divergences(histogram)
    low, high = table.first, table.last
    if high - low <= LEVELS:
        return full
    step = max(1, -(-max(table.origin - low, high - table.origin) // (_COARSE - 1)))
    lows, highs = np.arange(low, table.origin, step), np.arange(high, table.origin, -step)
    while True:
        low, high = table.best(np.append(lows, low), np.append(highs, high))
        if step == 1:
            break
        step = -(-step // _AROUND)
        around = step * np.arange(-_AROUND, _AROUND + 1)
        lows, highs = low + around, high + around
    return (
        full[0] if low == table.first else histogram.edge_low + low * histogram.width,
        full[1] if high == table.last else histogram.edge_low + high * histogram.width,
    )


class Divergences:
    """KL divergences of many ranges of one histogram: each costs 257 look-ups, not a pass over all bins.

    Edges are numbered from the histogram's first, 0 to 2048. The edge `origin`, at zero, may lie outside of that. From
    `first` to `last` reach all values and zero.
    """

    def __init__(self, histogram: Histogram) -> None:
        counts = nonzero_counts(histogram)
        filled = np.flatnonzero(counts)
        self.origin = -round(histogram.edge_low / histogram.width)
        self.first = min(int(filled[0]) if len(filled) else self.origin, self.origin)
        self.last = max(int(filled[-1]) + 1 if len(filled) else self.origin, self.origin)
        self._counts, self._zeros = counts, histogram.zeros
        self._mass = np.concatenate([[0.0], np.cumsum(counts)])
        self._filled = np.concatenate([[0], np.cumsum(counts > 0)])
        self._p_log_p = np.concatenate([[0.0], np.cumsum(_x_log_x(counts))])
        # Ends are moved outward to the next filled bin: what lies outside is added to a bin that Q can account for.
        edges = np.arange(BINS + 1)
        starts = np.where(np.append(counts, 0) > 0, edges, -1)
        self._start_below = np.maximum.accumulate(starts)
        ends = np.where(np.insert(counts, 0, 0) > 0, edges, BINS + 1)
        self._end_above = np.minimum.accumulate(ends[::-1])[::-1]

    def best(self, lows: Edges, highs: Edges) -> tuple[int, int]:
        """Return the pair of edges with the least divergence; of equals, the widest range."""
        lows = self._snapped(lows, self.first, self.origin - 1, self._start_below)
        highs = self._snapped(highs, self.origin + 1, self.last, self._end_above)[::-1]
        pairs = np.stack(np.meshgrid(lows, highs, indexing="ij"), axis=-1).reshape(-1, 2)
        pairs = pairs[pairs[:, 1] - pairs[:, 0] >= LEVELS]
        low, high = pairs[int(np.argmin(self.of(pairs[:, 0], pairs[:, 1])))]
        return int(low), int(high)

    def of(self, lows: Edges, highs: Edges) -> NDArray[np.float64]:
        """Return KL(P || Q) of each range; infinite where it holds nothing."""
        inner_lows, inner_highs = np.clip(lows, 0, BINS), np.clip(highs, 0, BINS)
        below, above = self._mass[inner_lows], self._mass[-1] - self._mass[inner_highs]
        p_log_p = self._p_log_p[inner_highs] - self._p_log_p[inner_lows]
        p_log_p += self._moved_to(inner_lows, below) + self._moved_to(inner_highs - 1, above)
        steps = (highs - lows)[:, None] / LEVELS
        bounds = np.floor(lows[:, None] + steps * np.arange(LEVELS + 1) + 0.5).astype(np.int64)
        bounds = np.clip(bounds, 0, BINS)
        mass, filled = np.diff(self._mass[bounds]), np.diff(self._filled[bounds])
        log_q = np.log(np.divide(mass, filled, out=np.ones_like(mass), where=filled > 0))
        mass[:, 0] += below
        mass[:, -1] += above
        p_log_q = np.einsum("ij,ij->i", mass, log_q)
        total = self._mass[-1] + self._zeros
        kept = total - below - above
        normalised = (p_log_p - p_log_q) / total + np.log(np.maximum(kept, 1.0) / total)
        return np.where(kept > 0, normalised, np.inf)

    def _snapped(self, edges: Edges, least: int, most: int, outward: Edges) -> Edges:
        """Return the edges between the two, moved outward; the origin alone where there is nothing on that side."""
        if least > most:
            return np.array([self.origin])
        moved = np.clip(edges, least, most)
        inside = (moved >= 0) & (moved <= BINS)
        moved[inside] = outward[moved[inside]]
        return np.unique(np.clip(moved, least, most))

    def _moved_to(self, bins: Edges, outside: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return by how much P log P grows when what lies outside is added to an end bin."""
        own = np.where(outside > 0, self._counts[np.clip(bins, 0, BINS - 1)], 0.0)
        return _x_log_x(own + outside) - _x_log_x(own)


def _x_log_x(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values * np.log(np.where(values > 0, values, 1.0))
