"""Time windows as their definition says, without regard to cost: all readings kept, each point looked up in a list."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_runtime.stream.rules import TimeRule

Row: TypeAlias = NDArray[np.float32]
Found: TypeAlias = tuple[int, int, list[Row], float]  # readings so far, first point, rows, share measured


@dataclass
class Reference:
    """One stream; `push` and `silent_for` as the stream under test, times in grid points."""

    rule: TimeRule
    history: list[tuple[float, Row]] = field(default_factory=list)
    kept: list[float] = field(default_factory=list)
    newest: float = -math.inf
    watermark: float = -math.inf
    doubted: float | None = None
    count: int = 0
    next: int = 0
    gaps: int = 0
    jumps: int = 0

    def push(self, time: float, row: Row) -> list[Found] | str:
        """Take in a reading."""
        found: list[Found] = []
        if abs(time - self.newest) > self.rule.step_points:
            first = self.newest == -math.inf
            confirmed = self.doubted is not None and abs(time - self.doubted) <= self.rule.step_points
            if not self.rule.by_arrival and not first and not confirmed:
                self.doubted = time
                return "clock_jump"
            self.jumps += self.rule.by_arrival and time < self.newest
            while not first and self.newest >= self.begin - 0.5:
                found += self._judge()
                self.next += 1
            self.history, self.kept, self.newest, self.watermark = [], [], -math.inf, -math.inf
            point = math.floor(time + 0.5) if self.rule.interpolation == "none" else math.ceil(time)
            self.next = math.ceil(point / self.rule.hop)
        elif self.rule.by_arrival and time <= max(self.newest, self.watermark):
            time = math.nextafter(max(self.newest, self.watermark), math.inf)
        self.doubted = None
        if time <= self.watermark:
            return "duplicate_time" if time in self.kept else "too_late"
        if time in self.kept:
            return "duplicate_time"
        self.count += 1
        self.history = sorted([*self.history, (time, row)], key=lambda one: one[0])
        self._keep(time)
        self.newest = max(self.newest, time)
        self.watermark = max(self.watermark, self.newest - self.rule.late_points)
        while self.watermark >= self._closes_at():
            found += self._judge()
            self.next += 1
        self._keep()
        return found

    def silent_for(self, seconds: float) -> list[Found]:
        """Let time pass without a reading."""
        found: list[Found] = []
        now = self.newest + seconds * self.rule.rate - self.rule.late_points
        while self.history and now >= (due := self._closes_at()):
            rows, measured = self.window(self.next)
            begun = self.newest >= self.begin - 0.5
            if measured < 1 and (measured == 0 or not begun or self.rule.on_gap == "skip"):
                break
            found.append((self.count, self.begin, rows, measured))
            self.watermark = max(self.watermark, due)
            self.next += 1
        self._keep()
        return found

    @property
    def begin(self) -> int:
        """First point of the next window."""
        return self.next * self.rule.hop

    def window(self, number: int) -> tuple[list[Row], float]:
        """Return a window's rows and the share of them that readings stand for, as all readings so far make them."""
        first = number * self.rule.hop
        rows = [self._row(point) for point in range(first, first + self.rule.size)]
        stands = [row is not None for row in rows]
        if not any(stands):
            return [], 0.0
        filled = [self._fill(first + place) if row is None else row for place, row in enumerate(rows)]
        return filled, sum(stands) / len(stands)

    def _judge(self) -> list[Found]:
        rows, measured = self.window(self.next)
        if measured == 1 or (measured > 0 and self.rule.on_gap == "mark"):
            return [(self.count, self.begin, rows, measured)]
        self.gaps += 1
        return []

    def _row(self, point: int) -> Row | None:
        """Return the row of a point, None where no reading stands for it."""
        before = [one for one in self.history if one[0] <= point]
        after = [one for one in self.history if one[0] >= point]
        if self.rule.interpolation == "none":
            near = [one for one in self.history if point - 0.5 <= one[0] < point + 0.5]
            return near[0][1] if near else None
        if self.rule.interpolation == "previous":
            return before[-1][1] if before and point - before[-1][0] <= self.rule.gap_points else None
        if not before or not after or after[0][0] - before[-1][0] > self.rule.gap_points:
            return before[-1][1] if before and before[-1][0] == point else None
        (left, low), (right, high) = before[-1], after[0]
        share = (point - left) / (right - left) if right > left else 0.0
        return (low + (high.astype(np.float64) - low) * share).astype(np.float32)

    def _fill(self, point: int) -> Row:
        usable = self.history
        if self.rule.interpolation == "none":  # of several readings that are nearest to one point the first counts
            cells = [math.floor(time + 0.5) for time, _ in usable]
            usable = [one for place, one in enumerate(usable) if cells[place] not in cells[:place]]
        before = [row for time, row in usable if time <= point]
        return before[-1] if before else usable[0][1]

    def _closes_at(self) -> float:
        last = self.begin + self.rule.size - 1
        times = [time for time, _ in self.history]
        if self.rule.interpolation == "previous":
            return last
        if self.rule.interpolation == "none":
            return min([time for time in times if time >= last - 0.5] + [last + 0.5])
        joined = [time + self.rule.gap_points for time in times if time < last][-1:] or [float(last)]
        return max(last, min([time for time in times if time >= last][:1] + joined))

    def _keep(self, *more: float) -> None:
        """Keep the times by which a duplicate is recognised: those of the readings that a window may still use."""
        cells: dict[int, list[float]] = {}
        for time in sorted([*self.kept, *more]):
            none = self.rule.interpolation == "none"
            cell = math.floor(time + 0.5) if none else math.floor(time)
            cells.setdefault(cell, []).append(time)
            cells[cell] = cells[cell][:1] if none else [cells[cell][0], *cells[cell][1:][-1:]]
        kept = [time for cell in cells.values() for time in cell]
        before = [time for time in kept if time <= self.begin - 0.5]
        self.kept = before[-1:] + [time for time in kept if time > self.begin - 0.5]
