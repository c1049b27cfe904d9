"""Percentiles of recent latencies, in constant memory."""

from __future__ import annotations

from array import array

import numpy as np

_KEPT = 1024


class RecentLatency:
    """The last 1024 latencies in milliseconds; one thread adds, any thread asks."""

    def __init__(self) -> None:
        self._values = array("d", bytes(8 * _KEPT))
        self._count = 0

    def add(self, milliseconds: float) -> None:
        """Take in one latency."""
        self._values[self._count % _KEPT] = milliseconds
        self._count += 1

    def percentiles(self) -> tuple[float, float] | None:
        """Return the median and the 99th percentile, None before the first latency."""
        if not self._count:
            return None
        median, high = np.percentile(np.array(self._values)[: self._count], [50, 99])
        return round(float(median), 3), round(float(high), 3)
