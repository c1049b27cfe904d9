"""One stream's windows by number of readings."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edge_runtime.inference.engine import Array
from edge_runtime.stream.rules import Window, WindowRule


@dataclass
class Tail:
    """The last rows of one stream.

    Attributes:
        count: Rows seen since the stream began, those before a restart included.
        rows: The last `size` rows, oldest first, padding included, float32 [size, features].
    """

    count: int
    rows: Array = field(repr=False)


class CountStream:
    """The last rows of one stream, and the windows they make.

    The rows lie in a buffer a quarter longer than a window and are moved to its begin when it is full, so that a
    row costs one write.

    Args:
        rule: How rows become windows.

    Attributes:
        arrived: When its last row came; kept by whoever holds the stream.
    """

    __slots__ = ("_begin", "_buffer", "_count", "_end", "_rule", "_seam", "arrived")

    def __init__(self, rule: WindowRule) -> None:
        self._rule = rule
        self._count = 0
        self._seam = -rule.size  # rows up to this number came before a restart that may have lost some
        self._begin = rule.size if rule.padding == "none" else 1  # rows before the first window
        self._buffer: Array | None = None
        self._end = 0
        self.arrived = 0.0

    def push(self, row: Array, time: float | None) -> tuple[Window, ...]:
        """Take in one row, float32 [features], and return the window it completes, if any."""
        rule = self._rule
        size = rule.size
        count = self._count = self._count + 1
        if size == 1:
            if rule.hop > 1 and (count - 1) % rule.hop:
                return ()
            return (Window(row.reshape(1, -1), count, time, time),)
        buffer, end = self._buffer, self._end
        if buffer is None:
            buffer = self._buffer = self._begun(row)
            end = size
        elif end == len(buffer):
            buffer[: size - 1] = buffer[end - size + 1 :]
            end = size - 1
        buffer[end] = row
        self._end = end = end + 1
        beyond = count - self._begin
        if beyond < 0 or beyond % rule.hop:
            return ()
        return (Window(buffer[end - size : end].copy(), count, None, time, count - size >= self._seam),)

    def count_one(self) -> int:
        """Count one row whose window is the row itself, and return its number."""
        self._count += 1
        return self._count

    def tail(self) -> Tail:
        """Return a copy of what a restart needs."""
        size = self._rule.size
        if self._buffer is None:
            return Tail(self._count, np.zeros((0, self._rule.features), np.float32))
        return Tail(self._count, self._buffer[self._end - size : self._end].copy())

    def restore(self, tail: Tail, clean: bool) -> bool:
        """Go on from a saved tail; False where it is of another shape.

        Args:
            tail: The saved tail.
            clean: Whether nothing can have come in since; otherwise windows with rows from both sides of the
                restart are marked incomplete.
        """
        size, features = self._rule.size, self._rule.features
        if tail.rows.shape != (size, features) and not (size == 1 and tail.rows.shape == (0, features)):
            return False
        self._count = tail.count
        self._seam = -size if clean else tail.count
        if size > 1:
            self._buffer = self._room()
            self._buffer[:size] = tail.rows
            self._end = size
        return True

    def _begun(self, first: Array) -> Array:
        buffer = self._room()
        if self._rule.padding == "first":
            buffer[:] = first
        return buffer

    def _room(self) -> Array:
        size = self._rule.size
        return np.zeros((size + max(1, size // 4), self._rule.features), np.float32)
