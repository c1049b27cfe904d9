"""One stream's windows by time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from edge_runtime.inference.engine import Array
from edge_runtime.stream.rules import NotTaken, TimeRule, Window
from edge_runtime.stream.sampling import sample
from edge_runtime.stream.timeline import Timeline, Times

_ROUNDING = 2.0**-50  # a time such as 0.29 s is no exact binary number, and loses a bit more when multiplied


@dataclass
class TimeTail:
    """What a restart needs of one stream; times count grid points since 1970.

    Attributes:
        grid: What `grid` said of the rule it was made by; it fits no other.
        count: Readings taken in.
        newest: The newest reading's time.
        watermark: No reading up to here is taken in any more.
        next: Number of the first window that is not closed.
        times: Of the readings kept, float64 [n].
        rows: Their rows, float32 [n, features].
    """

    grid: str
    count: int
    newest: float
    watermark: float
    next: int
    times: Times = field(repr=False)
    rows: Array = field(repr=False)


def grid(rule: TimeRule) -> str:
    """Return what must be equal for the kept readings of one rule to serve another."""
    return f"{rule.rate!r}/s {rule.size} {rule.hop} {rule.features} {rule.interpolation}"


class TimeStream:
    """The recent readings of one stream, and the windows they make.

    A window is closed, once and for ever, when no reading that would still be taken can change it.

    Args:
        rule: How readings become windows.
        counts: What is counted of windows and jumps; added to.

    Attributes:
        arrived: When its last reading came; kept by whoever holds the stream.
    """

    __slots__ = (
        "_asked",
        "_count",
        "_counts",
        "_doubted",
        "_earliest_close",
        "_first_use",
        "_last_point",
        "_newest",
        "_next",
        "_readings",
        "_rule",
        "_watermark",
        "arrived",
    )

    def __init__(self, rule: TimeRule, counts: dict[str, int]) -> None:
        self._rule, self._counts = rule, counts
        self._readings = Timeline(rule.features, rule.interpolation == "none")
        self._count = 0
        self._newest = self._watermark = -math.inf
        self._set_next(0)
        self._doubted = math.nan  # time of a jump that the next reading may confirm; equal to nothing
        self._asked = -1  # readings there were when silence was found to close nothing
        self.arrived = 0.0

    def push(self, row: Array, seconds: float) -> tuple[Window, ...] | NotTaken:
        """Take in one reading, float32 [features], and return the windows it closes, or why it is not taken."""
        rule, time = self._rule, self._points(seconds)
        closed: tuple[Window, ...] = ()
        if abs(time - self._newest) > rule.step_points:
            if not self._is_jump_believed(time):
                return "clock_jump"
            closed = self._begin_anew(time)
        elif rule.by_arrival:
            # Several come at once; and a clock that was set back a little is followed when it has caught up.
            time = max(time, math.nextafter(max(self._newest, self._watermark), math.inf))
        self._doubted = math.nan
        if time <= self._watermark:
            return "duplicate_time" if time in self._readings.times else "too_late"
        if not self._readings.insert(time, row):
            return "duplicate_time"
        self._count += 1
        if time > self._newest:
            self._newest = time
            self._watermark = max(self._watermark, time - rule.late_points)
        if time <= self._first_use:
            self._readings.forget(self._first_use)
        return closed + self._close() if self._watermark >= self._earliest_close else closed

    def silent_for(self, seconds: float) -> tuple[Window, ...]:
        """Close what a silence of so many seconds says is over, as if the sensor's clock had gone on meanwhile.

        Windows that wait for readings which may only be delayed stay open, unless the rule marks gaps. Even then only
        those are closed in which there is a reading: what comes after the silence finds its window open.
        """
        now = self._newest + seconds * self._rule.rate - self._rule.late_points
        closed: list[Window] = []
        while now >= self._earliest_close and self._asked != self._count and now >= (due := self._closes_at()):
            window = self._window()
            begun = self._newest >= self._first_use
            if window is None or not (window.complete or (begun and self._rule.on_gap == "mark")):
                self._asked = self._count
                break
            self._watermark = max(self._watermark, due)
            closed.append(window)
            self._go_on(1)
        return tuple(closed)

    def tail(self) -> TimeTail:
        """Return a copy of what a restart needs."""
        times, rows = self._readings.times.copy(), self._readings.rows.copy()
        return TimeTail(grid(self._rule), self._count, self._newest, self._watermark, self._next, times, rows)

    def restore(self, tail: TimeTail) -> bool:
        """Go on from a saved tail; False where it was made by another rule. A hole in time is seen by the times."""
        if tail.grid != grid(self._rule) or len(tail.times) != len(tail.rows):
            return False
        self._count, self._newest, self._watermark = tail.count, tail.newest, tail.watermark
        self._set_next(tail.next)
        for time, row in zip(tail.times, tail.rows, strict=True):
            self._readings.insert(float(time), row)
        return True

    def _set_next(self, window: int) -> None:
        rule = self._rule
        self._next = window
        self._last_point = window * rule.hop + rule.size - 1
        self._first_use = window * rule.hop - 0.5  # readings before matter only if no other lies between
        self._earliest_close = self._last_point - (0.5 if rule.interpolation == "none" else 0.0)

    def _points(self, seconds: float) -> float:
        time = seconds * self._rule.rate
        near = round(time)
        return float(near) if abs(time - near) <= time * _ROUNDING else time

    def _is_jump_believed(self, time: float) -> bool:
        """Tell whether a time far from the newest is where the stream goes on; the first of all always is."""
        if self._newest == -math.inf:
            return True
        if self._rule.by_arrival:
            if time < self._newest:
                self._counts["clock_jump"] += 1
            return True
        if abs(time - self._doubted) <= self._rule.step_points:
            return True
        self._doubted = time
        return False

    def _begin_anew(self, time: float) -> tuple[Window, ...]:
        """Close what is begun, and begin with the first window that can be whole."""
        rule = self._rule
        closed = self._close_begun() if self._count else ()
        self._readings = Timeline(rule.features, rule.interpolation == "none")
        self._newest = -math.inf
        self._watermark = math.nextafter(time, -math.inf) - rule.late_points
        first = math.floor(time + 0.5) if rule.interpolation == "none" else math.ceil(time)
        self._set_next(-(-first // rule.hop))
        return closed

    def _close_begun(self) -> tuple[Window, ...]:
        """Close every window in which there is a reading: nothing more will come for them."""
        closed = []
        while self._newest >= self._first_use:
            closed.append(self._judged(self._window()))
            self._go_on(1)
        return tuple(window for window in closed if window is not None)

    def _close(self) -> tuple[Window, ...]:
        """Close every window that the watermark has passed."""
        closed = []
        while self._watermark >= self._earliest_close and self._watermark >= self._closes_at():
            window = self._window()
            if window is None:
                empty = self._empty_windows()
                self._counts["gap"] += empty
                self._go_on(empty)
                continue
            if self._judged(window) is not None:
                closed.append(window)
            self._go_on(1)
        return tuple(closed)

    def _judged(self, window: Window | None) -> Window | None:
        """Return the window if it is wanted, else count it."""
        if window is not None and (window.complete or self._rule.on_gap == "mark"):
            return window
        self._counts["gap"] += 1
        return None

    def _go_on(self, windows: int) -> None:
        self._set_next(self._next + windows)
        self._readings.forget(self._first_use)

    def _closes_at(self) -> float:
        """Return the least watermark at which no later reading can change the next window."""
        rule, last, times = self._rule, self._last_point, self._readings.times
        if rule.interpolation == "previous":
            return last
        at = int(times.searchsorted(last - 0.5 if rule.interpolation == "none" else last))
        following = float(times[at]) if at < len(times) else math.inf
        if rule.interpolation == "none":
            return min(following, last + 0.5)
        joined_until = float(times[at - 1]) + rule.gap_points if at else last
        return max(last, min(following, joined_until))

    def _empty_windows(self) -> int:
        """Return how many windows from the next one on hold nothing and never will; counted, not walked through."""
        rule, last, times = self._rule, self._last_point, self._readings.times
        at = int(times.searchsorted(last))
        following = float(times[at]) if at < len(times) else math.inf
        bound = math.floor(min(following + 0.5, self._watermark - 0.5))
        return max(-((rule.size - 1 - bound) // rule.hop) - self._next, 1)

    def _window(self) -> Window | None:
        """Return the next window as the readings make it, None where none of them stands for any of its points."""
        rule, times = self._rule, self._readings.times
        if not len(times):
            return None
        first = self._next * rule.hop
        rows, measured = sample(rule, first, times, self._readings.rows)
        if not measured:
            return None
        return Window(rows, self._count, first / rule.rate, self._last_point / rule.rate, measured == 1.0, measured)
