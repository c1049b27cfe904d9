"""Rows at the points of a grid, from readings at times of their own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_runtime.inference.engine import Array
from edge_runtime.stream.rules import TimeRule
from edge_runtime.stream.timeline import Times


def sample(rule: TimeRule, first: int, times: Times, rows: Array) -> tuple[Array, float]:
    """Return a row for each of the window's points, float32 [size, features], and the share readings stand for.

    Points without are filled with the reading before, else the first after.

    Args:
        rule: Which readings stand for a point.
        first: The window's first point.
        times: Of the readings, in points, ascending, float64 [n], n > 0.
        rows: Their rows, float32 [n, features].
    """
    if rule.interpolation == "none":
        begin, end = times.searchsorted((first - 0.5, first + rule.size - 0.5))
        if end - begin == rule.size:  # one reading for each point, as nearly always
            return rows[begin:end].copy(), 1.0
    points = np.arange(first, first + rule.size, dtype=np.float64)
    before = times.searchsorted(points, side="right") - 1
    held = np.maximum(before, 0)
    filled, stands = rows[held], before >= 0
    if rule.interpolation == "none":
        nearest = times.searchsorted(points - 0.5)
        clipped = np.minimum(nearest, len(times) - 1)
        stands = (nearest < len(times)) & (times[clipped] < points + 0.5)
        filled[stands] = rows[clipped[stands]]
    elif rule.interpolation == "previous":
        stands &= points - times[held] <= rule.gap_points
    else:
        stands &= _join(filled, points, before, (times, rows), rule.gap_points)
    return filled, int(np.count_nonzero(stands)) / rule.size


def _join(
    filled: Array, points: Times, before: NDArray[np.intp], readings: tuple[Times, Array], max_gap: float
) -> NDArray[np.bool_]:
    """Put points on the lines between readings no further apart than `max_gap`; return which of them are, or on one."""
    times, rows = readings
    left = np.maximum(before, 0)
    right = np.minimum(left + 1, len(times) - 1)
    offset, span = points - times[left], times[right] - times[left]
    between = (span > 0) & (span <= max_gap) & (offset > 0) & (before >= 0)
    left, right = left[between], right[between]
    # In float64: the difference of two float32 may be larger than float32 holds.
    low, high = rows[left].astype(np.float64), rows[right].astype(np.float64)
    filled[between] = low + (high - low) * (offset[between] / span[between])[:, None]
    found: NDArray[np.bool_] = between | (offset == 0)
    return found
