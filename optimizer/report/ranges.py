"""From a calibration histogram to the coarser one that a report shows."""

from __future__ import annotations

import math

import numpy as np

from optimizer.calibrate.histogram import Histogram
from optimizer.report.record import BINS, Range


def range_of(tensor: str, seen: Histogram, chosen: tuple[float, float], method: str) -> Range:
    """Return a tensor's histogram in 64 bins and the range chosen from it; bins are joined, none is split evenly."""
    bins = len(seen.counts)
    counts = np.zeros(BINS, dtype=np.int64)
    np.add.at(counts, np.arange(bins) * BINS // max(bins, 1), np.asarray(seen.counts, dtype=np.int64))
    return Range(
        tensor=tensor,
        low=float(seen.low),
        high=float(seen.high),
        counts=tuple(int(count) for count in counts),
        edge_low=float(seen.edge_low),
        width=float(seen.width) * bins / BINS,
        chosen_low=float(chosen[0]),
        chosen_high=float(chosen[1]),
        method=method,
    )


def clipped_share(found: Range) -> float:
    """Return the share of values outside the chosen range, from the bins: values spread evenly inside each bin."""
    total = sum(found.counts)
    if not total or not is_drawable(found):
        return 0.0
    low, high = found.chosen_low or 0.0, found.chosen_high or 0.0
    inside = 0.0
    for index, count in enumerate(found.counts):
        left, right = bin_edges(found, index)
        if right > left:
            inside += count * max(0.0, min(right, high) - max(left, low)) / (right - left)
    return max(0.0, 1.0 - inside / total)


def bin_edges(found: Range, index: int) -> tuple[float, float]:
    """Return a bin's edges, no further out than the values seen."""
    start, width = found.edge_low or 0.0, found.width or 0.0
    low, high = found.low or 0.0, found.high or 0.0
    return max(start + index * width, low), min(start + (index + 1) * width, high)


def is_drawable(found: Range) -> bool:
    """Tell whether every number of a range is known and its bins have a width."""
    numbers = (found.low, found.high, found.edge_low, found.width, found.chosen_low, found.chosen_high)
    if any(number is None or not math.isfinite(number) for number in numbers):
        return False
    return (found.width or 0.0) > 0 and (found.high or 0.0) > (found.low or 0.0)
