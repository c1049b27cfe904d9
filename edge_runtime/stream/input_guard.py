"""Readings that cannot be true: outside what is plausible, or of a sensor that is stuck."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec
import numpy as np

from edge_runtime.inference.engine import Array

RowQuality: TypeAlias = Literal["good", "bad_input"]

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_NEVER = 1 << 62


@dataclass(frozen=True)
class GuardRule:
    """What is plausible.

    Attributes:
        names: Of the numbers in a row; for an array the one name that stands for all of them.
        is_array: Whether a row is one array of any length.
        limits: Name -> (lowest, highest) plausible number, both included; compared in float32.
        stuck_after: Name -> readings of the same value, one after another, at which the sensor counts as stuck, at
            least 2. An array counts as one value.
        window: Rows in a window: so long does a bad one spoil what is computed from it. 1 for windows by time.
        reach: Windows by time: seconds before a window's start from which a reading may still have become part of it.
    """

    names: tuple[str, ...]
    is_array: bool
    limits: Mapping[str, tuple[float, float]]
    stuck_after: Mapping[str, int]
    window: int = 1
    reach: float = 0.0


class GuardState(msgspec.Struct, gc=False):
    """What is remembered of one stream.

    Attributes:
        last: The last row's numbers; of an array its lowest and highest number and its CRC-32.
        runs: For each of them, how many readings in a row had that value.
        spoilt: Windows still to come, the present one included, that hold a bad row.
        bad_at: Latest time of a bad row.
    """

    last: list[float]
    runs: list[int]
    spoilt: int = 0
    bad_at: float = -math.inf


class InputGuard:
    """Looks at each row before it enters a window, and remembers bad ones until they have left it.

    It remembers a stream from its first row until `evict`. A rule without limits and without `stuck_after` looks at
    nothing and remembers nothing. Otherwise NaN and infinity are bad wherever they stand.

    Attributes:
        faults: Rows found bad since the start, by ``NAME outside_limits`` and ``NAME stuck``.
    """

    def __init__(self, rule: GuardRule) -> None:
        self.faults: Counter[str] = Counter()
        self._is_array, self._window, self._reach = rule.is_array, rule.window, rule.reach
        self._is_idle = not rule.limits and not rule.stuck_after
        self._compares = bool(rule.stuck_after)
        limits = [_in_float32(rule.limits.get(name)) for name in rule.names]
        after = [rule.stuck_after.get(name, _NEVER) for name in rule.names]
        self._names = rule.names
        if rule.is_array:  # the columns are lowest, highest, CRC-32
            self._names = rule.names * 3
            limits, after = [*limits, *limits, (-math.inf, math.inf)], [_NEVER, _NEVER, *after]
        self._lows, self._highs = [low for low, _ in limits], [high for _, high in limits]
        self._stuck_after = after
        self._first_runs = [1] * len(self._names)  # shared, never written to
        self._states: dict[str, GuardState] = {}

    def __len__(self) -> int:
        return len(self._states)

    def check(self, stream: str, row: Array, time: float | None = None) -> RowQuality:
        """Return the quality of the window that ends with this row.

        Args:
            stream: Whose it is.
            row: float32 [features].
            time: Seconds from any origin; needed only where `over` is asked afterwards.
        """
        if self._is_idle:
            return "good"
        values = [float(row.min()), float(row.max()), self._crc(row)] if self._is_array else row.tolist()
        return self._settle(stream, values, time)

    def check_many(
        self, streams: Sequence[str], rows: Array, times: Sequence[float | None] | None = None
    ) -> list[RowQuality]:
        """Return what `check` returns for each row of float32 [n, features], taken in this order."""
        if self._is_idle:
            return ["good"] * len(streams)
        if self._is_array:
            crc = [self._crc(row) for row in rows]
            columns = zip(rows.min(axis=1).tolist(), rows.max(axis=1).tolist(), crc, strict=True)
            values = [list(column) for column in columns]
        else:
            values = rows.tolist()
        times = times or [None] * len(streams)
        return [self._settle(*one) for one in zip(streams, values, times, strict=True)]

    def over(self, stream: str, start: float) -> RowQuality:
        """Return the quality of a window by time, from its start on.

        A bad row after its end spoils it as well where it came before the window was asked for.
        """
        state = self._states.get(stream)
        return "bad_input" if state is not None and state.bad_at >= start - self._reach else "good"

    def evict(self, stream: str) -> None:
        """Forget a stream."""
        self._states.pop(stream, None)

    def save(self) -> dict[str, GuardState]:
        """Return what is remembered of each stream; to be encoded at once, as it goes on changing."""
        return dict(self._states)

    def restore(self, stream: str, state: GuardState) -> None:
        """Take back what was saved; where the fields are others now, nothing."""
        if not self._is_idle and len(state.last) == len(state.runs) == len(self._names):
            self._states[stream] = state

    def _crc(self, row: Array) -> float:
        return float(zlib.crc32(row.tobytes())) if self._compares else 0.0

    def _settle(self, stream: str, values: list[float], time: float | None) -> RowQuality:
        """Judge a row's numbers, and count for how long the window holds a bad one."""
        state = self._states.get(stream)
        if state is None:
            state = self._states[stream] = GuardState([math.nan] * len(values), self._first_runs)
        for value, last, low, high in zip(values, state.last, self._lows, self._highs, strict=True):
            if value == last or not low <= value <= high:
                break
        else:  # the usual case of a live sensor: every number is plausible and another one than before
            if self._compares:
                state.last, state.runs = values, self._first_runs
            if not state.spoilt:
                return "good"
            state.spoilt -= 1
            return "bad_input" if state.spoilt else "good"
        if self._has_fault(state, values):
            state.spoilt = self._window
            if time is not None:
                state.bad_at = max(state.bad_at, time)
        elif state.spoilt:
            state.spoilt -= 1
        return "bad_input" if state.spoilt else "good"

    def _has_fault(self, state: GuardState, values: list[float]) -> bool:
        """Look at every number, and count the first one outside its limits and the first one stuck."""
        runs, outside, stuck = [], -1, -1
        for index, value in enumerate(values):
            run = state.runs[index] + 1 if value == state.last[index] else 1
            runs.append(run)
            if run >= self._stuck_after[index] and stuck < 0:
                stuck = index
            if not self._lows[index] <= value <= self._highs[index] and outside < 0:
                outside = index
        if self._compares:
            state.last, state.runs = values, runs
        if outside >= 0:
            self.faults[f"{self._names[outside]} outside_limits"] += 1
        if stuck >= 0:
            self.faults[f"{self._names[stuck]} stuck"] += 1
        return outside >= 0 or stuck >= 0


def _in_float32(limits: tuple[float, float] | None) -> tuple[float, float]:
    """Return limits rounded as the sensor's numbers were, so that 0.1 is not above 0.1; without any, what is finite."""
    low, high = np.clip(limits or (-math.inf, math.inf), -_FLOAT32_MAX, _FLOAT32_MAX).astype(np.float32).tolist()
    return low, high
