"""When an alarm is raised and cleared: hysteresis, k of n, delays, cool-down; docs/alarms.md draws it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec

from edge_runtime.inference.postprocess import Outcome


@dataclass(frozen=True)
class AlarmRule:
    """How single predictions in alarm become an alarm.

    Attributes:
        above: The decision's upper limit; needed with `clear_below`.
        below: The decision's lower limit; needed with `clear_above`.
        clear_below: Once above the upper limit, only a value less than this is no longer; None for the limit itself.
        clear_above: Once below the lower limit, only a value greater than this is no longer.
        k: The condition holds while at least so many …
        n: … of so many predictions, the last ones, are in alarm.
        on_delay: Seconds for which it must have held without a break before the alarm is raised.
        on_count: Predictions for which it must have held likewise.
        off_delay: Seconds for which it must not have held before the alarm is cleared.
        off_count: Predictions likewise.
        cool_down: Seconds after a clearing in which none is raised.
    """

    above: float | None = None
    below: float | None = None
    clear_below: float | None = None
    clear_above: float | None = None
    k: int = 1
    n: int = 1
    on_delay: float = 0.0
    on_count: int = 1
    off_delay: float = 0.0
    off_count: int = 1
    cool_down: float = 0.0

    @property
    def has_hysteresis(self) -> bool:
        """Tell whether a limit for clearing differs from that for raising."""
        return self.clear_below is not None or self.clear_above is not None

    @property
    def is_immediate(self) -> bool:
        """Tell whether each prediction alone decides."""
        counts = (self.k, self.n, self.on_count, self.off_count)
        return counts == (1, 1, 1, 1) and not (self.has_hysteresis or self.on_delay or self.off_delay or self.cool_down)


class AlarmState(msgspec.Struct, gc=False):
    """What is remembered of one stream.

    Attributes:
        active: The alarm; None before there was any evidence.
        high: Whether the value went above and has not come back below the clearing limit.
        low: Likewise for the lower limit.
        recent: The last n predictions as bits, the newest lowest, 1 in alarm.
        run: The condition at the last prediction; None where a new run is to begin.
        run_since: When that run began.
        run_count: Predictions in it.
        quiet_until: No new alarm before this.
    """

    active: bool | None = None
    high: bool = False
    low: bool = False
    recent: int = 0
    run: bool | None = None
    run_since: float = 0.0
    run_count: int = 0
    quiet_until: float = -math.inf


class Alarm:
    """The state machine of all alarms of one pipeline; each stream's memory is passed in."""

    def __init__(self, rule: AlarmRule) -> None:
        self._rule = rule
        self._is_immediate, self._has_hysteresis = rule.is_immediate, rule.has_hysteresis
        self._mask = (1 << rule.n) - 1

    def update(self, state: AlarmState, now: float, outcome: Outcome) -> None:
        """Take one trusted prediction into account; `now` never runs backwards."""
        if self._is_immediate or outcome.alarm is None or outcome.value is None:
            state.active = outcome.alarm
            return
        alarm = self._beyond_limits(state, outcome.value) if self._has_hysteresis else outcome.alarm
        state.recent = (state.recent << 1 | alarm) & self._mask
        self._debounce(state, now, holds=state.recent.bit_count() >= self._rule.k)

    def interrupt(self, state: AlarmState) -> None:
        """Take note of a prediction that is not trusted: it delays no alarm, and clears none.

        A run of predictions in alarm goes on; one of predictions without begins anew.
        """
        if state.run is False:
            state.run = None

    def _beyond_limits(self, state: AlarmState, value: float) -> bool:
        rule = self._rule
        if rule.above is not None:
            stays = state.high and rule.clear_below is not None and not value < rule.clear_below
            state.high = value > rule.above or stays
        if rule.below is not None:
            stays = state.low and rule.clear_above is not None and not value > rule.clear_above
            state.low = value < rule.below or stays
        return state.high or state.low

    def _debounce(self, state: AlarmState, now: float, *, holds: bool) -> None:
        rule = self._rule
        if state.run is not holds:
            state.run, state.run_since, state.run_count = holds, now, 0
        state.run_count += 1
        lasted = now - state.run_since
        if not state.active:
            is_due = holds and state.run_count >= rule.on_count and lasted >= rule.on_delay
            state.active = is_due and now >= state.quiet_until
        elif not holds and state.run_count >= rule.off_count and lasted >= rule.off_delay:
            state.active, state.quiet_until = False, now + rule.cool_down
