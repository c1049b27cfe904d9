"""Sliding windows over rows, one per stream, with a bound on the number of streams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from edge_runtime.inference.engine import Array

Padding: TypeAlias = Literal["none", "first", "zero"]


@dataclass(frozen=True)
class WindowRule:
    """How rows become windows.

    Attributes:
        size: Rows in a window.
        hop: A window is made every so many rows.
        features: Numbers in a row.
        padding: Before `size` rows were seen: ``none`` waits, ``first`` repeats the first row in front,
            ``zero`` puts zeros in front; with padding the first row already makes a window.
    """

    size: int
    hop: int
    features: int
    padding: Padding


@dataclass
class Tail:
    """The last rows of one stream.

    Attributes:
        count: Rows seen since the stream began, those before a restart included.
        rows: The last `size` rows, oldest first, padding included, float32 [size, features].
    """

    count: int
    rows: Array = field(repr=False)


class Windows:
    """Windows of many streams.

    Args:
        rule: How rows become windows.
        max_streams: More streams than this are refused, so that a wrong topic cannot fill the memory.
    """

    def __init__(self, rule: WindowRule, max_streams: int) -> None:
        self._rule = rule
        self._max_streams = max_streams
        self._tails: dict[str, Tail] = {}

    def __len__(self) -> int:
        return len(self._tails)

    def has_room_for(self, stream: str) -> bool:
        """Tell whether rows of this stream can be taken."""
        return stream in self._tails or len(self._tails) < self._max_streams

    def push(self, stream: str, row: Array) -> tuple[int, Array | None]:
        """Take in one row and return its number in the stream, from 1, and the window it completes, if any.

        The window is a copy of shape [size, features].
        """
        rule = self._rule
        tail = self._tails.get(stream)
        if tail is None:
            tail = self._tails[stream] = Tail(0, self._empty(row))
        tail.rows[:-1] = tail.rows[1:]
        tail.rows[-1] = row
        tail.count += 1
        beyond_first = tail.count - (rule.size if rule.padding == "none" else 1)
        due = beyond_first >= 0 and beyond_first % rule.hop == 0
        return tail.count, tail.rows.copy() if due else None

    def tails(self) -> Iterator[tuple[str, Tail]]:
        """Yield every stream's tail, for saving."""
        yield from self._tails.items()

    def restore(self, stream: str, tail: Tail) -> bool:
        """Take back a saved tail; False where it is of another shape or there is no room, and so cannot be used."""
        fits = tail.rows.shape == (self._rule.size, self._rule.features) and self.has_room_for(stream)
        if fits:
            self._tails[stream] = Tail(tail.count, tail.rows.astype(np.float32))
        return fits

    def _empty(self, first: Array) -> Array:
        rows = np.zeros((self._rule.size, self._rule.features), np.float32)
        if self._rule.padding == "first":
            rows[:] = first
        return rows
