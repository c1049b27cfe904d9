"""Which rows give way when a pipeline's share of the disk is full."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from edge_runtime.messaging.outbox.disk_contract import Disk
from edge_runtime.messaging.outbox.row import Row, cost

LAST = (1 << 63) - 1

_AT_ONCE = 256
_MOST_MOVED = 4096  # in one transaction


@dataclass
class Choice:
    """Rows that go, and rows that are written again in their place so that the pages between them close up."""

    lost: list[Row] = field(default_factory=list)
    moved: list[Row] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)


def oldest(disk: Disk, pipeline: str, over: int, kept: Container[int]) -> Choice:
    """Choose the oldest rows that take `over` bytes, without those just being sent or deleted."""
    choice, after, freed = Choice(), 0, 0
    while freed < over:
        rows, damaged = disk.page(pipeline, after, LAST, _AT_ONCE)
        if not rows and not damaged:
            break
        for row in rows:
            if row.ticket not in kept and freed < over:
                choice.lost.append(row)
                freed += cost(pipeline, row)
        after = _end(rows, damaged)
    return choice


class Thinning:
    """Chooses every second row of each stream among the oldest half; the same half again once it is through.

    So the older rows are, the sparser: each pass halves what the last one left. Where a pass finds nothing that may go,
    the oldest rows do.
    """

    def __init__(self) -> None:
        self._after = self._left = 0
        self._goes: dict[tuple[str, str], bool] = {}

    def choose(self, disk: Disk, pipeline: str, over: int, kept: Container[int], stored: int) -> Choice:
        """Choose rows that take `over` bytes; `stored` is how many there are in all."""
        choice, freed, passes = Choice(), 0, 0
        while freed < over and len(choice.moved) < _MOST_MOVED:
            if self._left <= 0:
                if passes:
                    break
                passes += 1
                self._after, self._left, self._goes = 0, max(stored // 2, 1), {}
            rows, damaged = disk.page(pipeline, self._after, LAST, min(_AT_ONCE, self._left))
            if not rows and not damaged:
                self._left = 0
                continue
            freed += self._split(pipeline, rows, kept, choice)
            self._left -= len(rows) + len(damaged)
            self._after = _end(rows, damaged)
        return choice if freed >= over else oldest(disk, pipeline, over, kept)

    def _split(self, pipeline: str, rows: list[Row], kept: Container[int], choice: Choice) -> int:
        freed = 0
        for row in rows:
            if row.ticket in kept or row.ticket in choice.seen:
                continue
            choice.seen.add(row.ticket)
            key = (row.stream, row.boot)
            if self._goes.get(key, False):
                choice.lost.append(row)
                freed += cost(pipeline, row)
            else:
                choice.moved.append(row)
            self._goes[key] = not self._goes.get(key, False)
        return freed


def _end(rows: list[Row], damaged: list[int]) -> int:
    return max((*(row.ticket for row in rows[-1:]), *damaged[-1:]))
