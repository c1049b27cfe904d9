"""The windows of many streams, with a bound on their number."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from edge_runtime.inference.engine import Array
from edge_runtime.stream.count_stream import CountStream, Tail
from edge_runtime.stream.rules import NotTaken, Padding, StreamBound, TimeRule, Window, WindowRule
from edge_runtime.stream.time_stream import TimeStream, TimeTail

__all__ = ["AnyRule", "AnyTail", "Padding", "StreamBound", "Tail", "TimeRule", "Window", "WindowRule", "Windows"]

AnyRule: TypeAlias = WindowRule | TimeRule
AnyTail: TypeAlias = Tail | TimeTail

_LOOKS_PER_WINDOW = 4
_SHORTEST_LOOK = 0.05  # seconds between two looks at all streams; with 10 000 streams one costs milliseconds
_LONGEST_LOOK = 1.0


class Windows:
    """Windows of many streams; not for several threads at once.

    Args:
        rule: How rows become windows.
        bound: How many streams are kept; more cannot fill the memory, whatever topics are published.
        forgotten: Called with the name of each stream that was forgotten, for what else is kept of it.

    Attributes:
        rows_are_windows: Whether each row is a window: then `number_rows` may take in many at once.
        goes_by_time: Whether windows are cut by time, else by the number of readings.
        by_arrival: Whether by the time of arrival: then `push` is given no other.
        counts: ``gap``: time windows dropped for want of readings; ``evicted``: streams forgotten because they were
            silent; ``clock_jump``: times of arrival that went back.
    """

    def __init__(self, rule: AnyRule, bound: StreamBound, forgotten: Callable[[str], None] | None = None) -> None:
        self._rule, self._bound, self._forgotten = rule, bound, forgotten
        self.counts = {"gap": 0, "evicted": 0, "clock_jump": 0}
        self._streams: OrderedDict[str, CountStream | TimeStream] = (
            OrderedDict()
        )  # the longest silent first, if evicting
        self._keeps_order = bound.when_full == "evict_idle"
        self._now: float | None = None
        self._looked = -math.inf
        self._pause = _LONGEST_LOOK
        self.rows_are_windows = isinstance(rule, WindowRule) and rule.size == rule.hop == 1
        self.goes_by_time = isinstance(rule, TimeRule)
        self.by_arrival = isinstance(rule, TimeRule) and rule.by_arrival
        if isinstance(rule, TimeRule):
            self._pause = min(max(rule.hop / rule.rate / _LOOKS_PER_WINDOW, _SHORTEST_LOOK), _LONGEST_LOOK)

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def now(self) -> float | None:
        """Return what `advance` was told last."""
        return self._now

    def has_room_for(self, stream: str) -> bool:
        """Tell whether rows of this stream can be taken."""
        return self._keeps_order or stream in self._streams or len(self._streams) < self._bound.most

    def push(self, stream: str, row: Array, time: float | None) -> tuple[Window, ...] | NotTaken:
        """Take in one row and return the windows it completes, or why it is not taken.

        Args:
            stream: Whose it is.
            row: float32 [features]; the caller does not change it any more, it may become part of a window as it is.
            time: Seconds since 1970 of the reading; None where it has none: time windows then take what `advance`
                was told last.
        """
        state = self._touched(stream)
        if state is None:
            return "too_many_streams"
        if isinstance(state, CountStream):
            return state.push(row, time)
        return state.push(row, state.arrived if time is None else time)

    def number_rows(self, streams: Sequence[str]) -> list[int | NotTaken]:
        """Take in one row for each of these streams, in order, where `rows_are_windows`.

        The rows need not come here: row i is the window of stream i, and float32 [n, features] the model's batch.

        Returns:
            Each row's number in its stream, from 1, or why it is not taken.
        """
        found: list[int | NotTaken] = []
        for stream in streams:
            state = self._touched(stream)
            found.append(state.count_one() if isinstance(state, CountStream) else "too_many_streams")
        return found

    def advance(self, now: float, idle: bool = True) -> tuple[tuple[str, Window], ...]:
        """Let time pass: close the windows of sensors that have gone silent, and forget streams that are idle.

        To be called before each batch of readings and at least once a second; between two calls time stands still,
        and most calls only look at the clock.

        Args:
            now: Seconds since 1970 of a clock that is never set back or forward (monotonic, plus a constant).
            idle: Whether no reading waits. Where some do only the clock goes on, as no sensor can be called silent
                whose reading may be among them.
        """
        if self._now is None or now < self._now:
            for state in self._streams.values():
                state.arrived = now
            self._looked = -math.inf
        self._now = now
        if not idle or now - self._looked < self._pause:
            return ()
        self._looked = now
        self._forget_idle(now)
        if isinstance(self._rule, WindowRule):
            return ()
        return tuple(
            (name, window)
            for name, state in self._streams.items()
            if isinstance(state, TimeStream)
            for window in state.silent_for(now - state.arrived)
        )

    def tails(self) -> Iterator[tuple[str, AnyTail]]:
        """Yield a copy of what a restart needs of every stream."""
        for name, state in self._streams.items():
            yield name, state.tail()

    def tails_in_parts(self, most: int) -> Iterator[list[tuple[str, AnyTail]]]:
        """Yield the same in parts of at most so many streams; rows may be pushed between two parts."""
        names = list(self._streams)
        for begin in range(0, len(names), most):
            part = [(name, self._streams.get(name)) for name in names[begin : begin + most]]
            yield [(name, state.tail()) for name, state in part if state is not None]

    def restore(self, stream: str, tail: AnyTail, clean: bool = True) -> bool:
        """Go on from a saved tail; False where it fits no longer or there is no room.

        Args:
            stream: Whose it is.
            tail: The saved tail.
            clean: Whether nothing can have come in since it was saved.
        """
        if len(self._streams) >= self._bound.most:
            return False
        state = self._new()
        if isinstance(state, CountStream):
            fits = isinstance(tail, Tail) and state.restore(tail, clean)
        else:
            fits = isinstance(tail, TimeTail) and state.restore(tail)
        if fits:
            state.arrived = self._now or 0.0
            self._streams[stream] = state
        return fits

    def _new(self) -> CountStream | TimeStream:
        if isinstance(self._rule, WindowRule):
            return CountStream(self._rule)
        return TimeStream(self._rule, self.counts)

    def _touched(self, stream: str) -> CountStream | TimeStream | None:
        """Return the stream, begun if it is new, as the one that was heard last; None where there is no room."""
        state = self._streams.get(stream)
        if state is None:
            state = self._begin(stream)
            if state is None:
                return None
        elif self._keeps_order:
            self._streams.move_to_end(stream)
        state.arrived = self._now or 0.0
        return state

    def _begin(self, stream: str) -> CountStream | TimeStream | None:
        """Make room for a new stream and begin it; None where there is no room."""
        if len(self._streams) >= self._bound.most:
            if not self._keeps_order:
                return None
            self._forget(next(iter(self._streams)))
        state = self._streams[stream] = self._new()
        return state

    def _forget_idle(self, now: float) -> None:
        idle = self._bound.idle
        if idle is not None:
            for name in [name for name, state in self._streams.items() if now - state.arrived > idle]:
                self._forget(name)

    def _forget(self, stream: str) -> None:
        del self._streams[stream]
        self.counts["evicted"] += 1
        if self._forgotten is not None:
            self._forgotten(stream)
