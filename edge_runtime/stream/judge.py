"""From a model's outcome to a verdict: its quality, the alarm after all delays, and whether it is worth a message."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import msgspec

from edge_runtime.inference.postprocess import Outcome
from edge_runtime.stream.alarm import Alarm, AlarmRule, AlarmState
from edge_runtime.stream.quality import Origin, QualityRule, Verdict, WindowQuality
from edge_runtime.stream.report import Reporter, ReportRule, ReportState


@dataclass(frozen=True)
class Rules:
    """How a pipeline judges; the defaults pass on what the model says."""

    alarm: AlarmRule = field(default_factory=AlarmRule)
    report: ReportRule = field(default_factory=ReportRule)
    quality: QualityRule = field(default_factory=QualityRule)


class StreamState(msgspec.Struct, gc=False):
    """What is remembered of one stream; times are in the seconds of `Judge.judge`, in a saved state relative.

    Attributes:
        clock: Latest time seen.
        heard: Time of the last prediction.
        is_stale: Whether it was reported as stale since.
        alarm: Its alarm.
        report: Its reports.
    """

    clock: float = -math.inf
    heard: float = -math.inf
    is_stale: bool = False
    alarm: AlarmState = msgspec.field(default_factory=AlarmState)
    report: ReportState = msgspec.field(default_factory=ReportState)


class Judge:
    """Judges the predictions of one pipeline, stream by stream.

    It remembers a stream from its first prediction until `evict`, so whoever bounds the number of streams bounds this.
    Time is an argument, in seconds from any origin; where it runs backwards in a stream, the latest counts.
    """

    def __init__(self, rules: Rules) -> None:
        self._quality = rules.quality
        self._alarm, self._reporter = Alarm(rules.alarm), Reporter(rules.report)
        self._stale_after = math.inf if rules.quality.stale_after is None else rules.quality.stale_after
        waits = self._stale_after < math.inf or rules.report.at_least_every < math.inf
        self._is_timed = waits or rules.report.at_most_every > 0
        passes_on = rules.report.on == "every" and rules.alarm.is_immediate and rules.quality.min_confidence is None
        self._is_plain = passes_on and not self._is_timed
        self._states: dict[str, StreamState] = {}
        self._next = math.inf  # nothing is due before

    def __len__(self) -> int:
        return len(self._states)

    @property
    def next_due(self) -> float:
        """Return a time before which `advance` has nothing to say; infinity where it never has."""
        return self._next

    def judge(
        self,
        stream: str,
        now: float,
        outcome: Outcome,
        window: WindowQuality = "good",
        origin: Origin | None = None,
    ) -> Verdict:
        """Judge one prediction.

        Args:
            stream: Whose it is.
            now: Seconds.
            outcome: What the model says; looked at only where the window is not ``bad_input``.
            window: ``uncertain`` where a gap was filled, ``bad_input`` where a reading cannot be trusted.
            origin: Kept with the verdict.
        """
        state = self._states.get(stream)
        if state is None:
            state = self._states[stream] = StreamState()
        if self._is_plain and window == "good" and outcome.value is not None:
            state.alarm.active = outcome.alarm
            return Verdict(outcome.value, outcome.label, outcome.alarm, "good", True, "", origin)
        now = state.clock = state.heard = max(now, state.clock)
        state.is_stale = False
        verdict = self._verdict(state.alarm, now, outcome, window, origin)
        is_reported = self._reporter.take(state.report, now, verdict)
        if self._is_timed:
            self._next = min(self._next, self._deadline(state))
        return verdict if is_reported else msgspec.structs.replace(verdict, report=False)

    def advance(self, now: float) -> list[tuple[str, Verdict]]:
        """Return what is to be reported because time went by: values held back, streams fallen silent, repetitions.

        Nothing here is a new prediction. It costs next to nothing before `next_due`; call it a few times a second.
        """
        due: list[tuple[str, Verdict]] = []
        if now < self._next:
            return due
        self._next = math.inf
        for stream, state in self._states.items():
            deadline = self._deadline(state)
            if now >= deadline:
                due += [(stream, verdict) for verdict in self._advanced(state, now)]
                deadline = self._deadline(state)
            self._next = min(self._next, deadline)
        return due

    def unreported(self, stream: str) -> None:
        """Note that the last report of a stream was given up: whatever comes next is news."""
        state = self._states.get(stream)
        if state is not None:
            state.report.reported = None

    def evict(self, stream: str) -> None:
        """Forget a stream."""
        self._states.pop(stream, None)

    def save(self, now: float) -> dict[str, StreamState]:
        """Return a copy of all that is remembered, with times relative to `now`."""
        return {stream: _moved(state, -now) for stream, state in self._states.items()}

    def restore(self, stream: str, state: StreamState, now: float) -> None:
        """Take back what was saved of a stream; the time between does not count."""
        state = self._states[stream] = _moved(state, now)
        if state.heard == -math.inf:  # times were of no interest to the rules it was saved with
            state.heard = now
        self._next = min(self._next, self._deadline(state))

    def _verdict(
        self, state: AlarmState, now: float, outcome: Outcome, window: WindowQuality, origin: Origin | None
    ) -> Verdict:
        quality, why = self._quality.quality_of(outcome, window)
        if self._quality.counts(quality):
            self._alarm.update(state, now, outcome)
        else:
            self._alarm.interrupt(state)
        if quality in {"good", "uncertain"}:
            return Verdict(outcome.value, outcome.label, state.active, quality, True, why, origin)
        return Verdict(None, None, self._quality.blind_alarm(state.active), quality, True, why, origin)

    def _deadline(self, state: StreamState) -> float:
        """Return when `advance` has something to say of a stream."""
        if state.is_stale:
            return self._reporter.repeat(state.report)
        return min(self._reporter.deadline(state.report), state.heard + self._stale_after)

    def _advanced(self, state: StreamState, now: float) -> list[Verdict]:
        state.clock = max(state.clock, now)
        last, due = state.report.latest or state.report.reported, []
        if last is not None and (state.is_stale or now >= self._reporter.deadline(state.report)):
            due.append(self._report(state, now, last))
        if not state.is_stale and now >= state.heard + self._stale_after:
            state.is_stale = True
            self._alarm.interrupt(state.alarm)
            alarm = self._quality.blind_alarm(state.alarm.active)
            origin = last.origin if last is not None else None
            due.append(self._report(state, now, Verdict(None, None, alarm, "stale", True, "silent", origin)))
        return due

    def _report(self, state: StreamState, now: float, verdict: Verdict) -> Verdict:
        self._reporter.reported(state.report, now, verdict)
        return verdict


def _moved(state: StreamState, by: float) -> StreamState:
    """Return a copy with all times shifted."""
    replace, alarm, report = msgspec.structs.replace, state.alarm, state.report
    return replace(
        state,
        clock=state.clock + by,
        heard=state.heard + by,
        alarm=replace(alarm, run_since=alarm.run_since + by, quiet_until=alarm.quiet_until + by),
        report=replace(report, at=report.at + by),
    )
