"""Readings of one stream in the order of their times, no more of them than a grid of points can use."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_runtime.inference.engine import Array

Times: TypeAlias = NDArray[np.float64]

_FIRST_CAPACITY = 8


class Timeline:
    """Readings in order, times counted in grid points; thinned, so that a fast sensor cannot fill the memory.

    Args:
        features: Numbers in a row.
        nearest: True where a point takes the earliest of the readings nearest to it: that one is kept. Otherwise the
            first and the last reading from one point to the next are kept: no row is held or joined further.
    """

    __slots__ = ("_begin", "_end", "_nearest", "_rows", "_times")

    def __init__(self, features: int, nearest: bool) -> None:
        self._nearest = nearest
        self._times: Times = np.empty(_FIRST_CAPACITY, np.float64)
        self._rows: Array = np.empty((_FIRST_CAPACITY, features), np.float32)
        self._begin = self._end = 0

    @property
    def times(self) -> Times:
        """The times, ascending, float64 [n]; a view."""
        return self._times[self._begin : self._end]

    @property
    def rows(self) -> Array:
        """The rows, float32 [n, features]; a view."""
        return self._rows[self._begin : self._end]

    def insert(self, time: float, row: Array) -> bool:
        """Take in a reading; False where there is one of this very time already, which stays."""
        times, begin, end = self._times, self._begin, self._end
        place = end
        if end > begin and time <= times[end - 1]:
            place = begin + int(times[begin:end].searchsorted(time))
            if times[place] == time:
                return False
        replaced = self._replaced(time, place)
        if replaced is None:
            place = self._make_room(place)
        elif replaced < 0:
            return True
        else:
            place = replaced
        self._times[place] = time
        self._rows[place] = row
        return True

    def forget(self, before: float) -> None:
        """Forget the readings before this time, except for the last of them."""
        kept = int(self.times.searchsorted(before, side="right")) - 1
        self._begin += max(kept, 0)

    def _replaced(self, time: float, place: int) -> int | None:
        """Return the place of the reading that this one makes useless, -1 where it is useless itself, None if neither.

        Args:
            time: The new reading's.
            place: Where it would be inserted.
        """
        cell = self._cell(time)
        before, after = self._cell_at(place - 1) == cell, self._cell_at(place) == cell
        if self._nearest:
            return -1 if before else place if after else None
        if before and after:
            return -1
        if before and self._cell_at(place - 2) == cell:
            return place - 1
        if after and self._cell_at(place + 1) == cell:
            return place
        return None

    def _cell(self, time: float) -> int:
        """Return the point that a reading serves or, where readings are joined or held, the point before it."""
        return math.floor(time + 0.5) if self._nearest else math.floor(time)

    def _cell_at(self, place: int) -> int | None:
        return self._cell(float(self._times[place])) if self._begin <= place < self._end else None

    def _make_room(self, place: int) -> int:
        """Move what is at this place and behind it by one, and return where the place lies now."""
        if self._end == len(self._times):
            place -= self._begin
            self._move()
        if place < self._end:
            self._times[place + 1 : self._end + 1] = self._times[place : self._end]
            self._rows[place + 1 : self._end + 1] = self._rows[place : self._end]
        self._end += 1
        return place

    def _move(self) -> None:
        """Move the readings to the begin of the buffers, or of larger ones where they fill more than half of these."""
        used = self._end - self._begin
        capacity = len(self._times) * (2 if used > len(self._times) // 2 else 1)
        self._times = _moved(self.times, capacity)
        self._rows = _moved(self.rows, capacity)
        self._begin, self._end = 0, used


def _moved(kept: NDArray[Any], capacity: int) -> NDArray[Any]:
    larger = np.empty((capacity, *kept.shape[1:]), kept.dtype)
    larger[: len(kept)] = kept
    return larger
