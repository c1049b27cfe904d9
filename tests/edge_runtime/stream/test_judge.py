"""The judge against a naive reference that looks at the whole history, on random streams; and what a restart keeps."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import msgspec
import pytest

from edge_runtime.inference.postprocess import Outcome
from edge_runtime.stream.alarm import AlarmRule
from edge_runtime.stream.judge import Judge, Rules, StreamState
from edge_runtime.stream.quality import Origin, QualityRule, Verdict, WindowQuality
from edge_runtime.stream.report import ReportRule

STREAMS_A_SEED = 50
STEPS = 60


@dataclass
class Event:
    """One thing that happened in a stream: a prediction, or, without an outcome, that it fell silent."""

    time: float
    verdict: Verdict
    condition: bool | None = None  # of a trusted prediction: whether k of n are in alarm
    outcome: Outcome | None = None


@dataclass
class Reference:
    """One stream's whole history; everything is looked up in it anew."""

    rules: Rules
    events: list[Event] = field(default_factory=list)
    reports: list[tuple[float, Event]] = field(default_factory=list)
    alarms: list[tuple[float, bool]] = field(default_factory=list)  # after each trusted prediction

    def judge(self, now: float, outcome: Outcome, window: WindowQuality) -> tuple[Verdict, bool]:
        """Return the verdict on a prediction, and whether it is reported."""
        times = [event.time for event in self.events] + [time for time, _ in self.reports]
        event = Event(max([now, *times]), Verdict(None, None, None, "bad"))
        quality, why = self._quality(outcome, window)
        if quality == "good" or (quality == "uncertain" and not self.rules.quality.hold_uncertain):
            event.outcome = outcome
            self.events.append(event)
            event.condition = self._condition()
            self.alarms.append((event.time, self._alarm()))
        else:
            self.events.append(event)
        held = self.alarms[-1][1] if self.alarms else None
        if quality in ("good", "uncertain"):
            event.verdict = msgspec.structs.replace(
                event.verdict, value=outcome.value, label=outcome.label, alarm=held, quality=quality, why=why
            )
        else:
            event.verdict = Verdict(None, None, self._blind(held), quality, True, why)
        is_reported = self._is_worth_it(event)
        if is_reported:
            self.reports.append((event.time, event))
        return event.verdict, is_reported

    def advance(self, now: float) -> list[Verdict]:
        """Return what is reported because time went by."""
        if not self.events:
            return []
        said = []
        report, (at, last) = self.rules.report, self.reports[-1]
        newest = self.events[-1]
        is_silent = newest.outcome is None and newest.verdict.quality == "stale"
        if is_silent:
            return [self._say(now, newest)] if now >= at + report.at_least_every else []
        if newest is not last:
            is_limited = report.on == "every" or self._moved(last.verdict, newest.verdict)
            if now >= at + report.at_least_every or (is_limited and now >= at + report.at_most_every):
                said.append(self._say(now, newest))
        if self.rules.quality.stale_after is not None and now >= newest.time + self.rules.quality.stale_after:
            held = self.alarms[-1][1] if self.alarms else None
            silent = Event(newest.time, Verdict(None, None, self._blind(held), "stale", True, "silent"))
            self.events.append(silent)
            said.append(self._say(now, silent))
        return said

    def _say(self, now: float, event: Event) -> Verdict:
        self.reports.append((now, event))
        return event.verdict

    def _quality(self, outcome: Outcome, window: WindowQuality) -> tuple[str, str]:
        found = [("good", "")]
        least = self.rules.quality.min_confidence
        if least is not None and outcome.label is not None and outcome.value is not None and outcome.value < least:
            found.append(("uncertain", "low_confidence"))
        if window == "uncertain":
            found.append(("uncertain", "incomplete_window"))
        if outcome.value is None:
            found.append(("bad", "not_finite"))
        if window == "bad_input":
            found.append(("bad_input", "bad_input"))
        return found[-1]

    def _blind(self, held: bool | None) -> bool | None:
        return {"hold": held, "alarm": True, "clear": False}[self.rules.quality.on_bad]

    def _condition(self) -> bool:
        rule = self.rules.alarm
        outcomes = [event.outcome for event in self.events if event.outcome is not None]
        single = []
        for end in range(max(0, len(outcomes) - rule.n), len(outcomes)):
            values = [outcome.value or 0.0 for outcome in outcomes[: end + 1]]
            if rule.has_hysteresis:
                high = _still_out(values, rule.above, rule.clear_below)
                low = _still_out([-v for v in values], _negative(rule.below), _negative(rule.clear_above))
                single.append(high or low)
            else:
                single.append(bool(outcomes[end].alarm))
        return sum(single) >= rule.k

    def _alarm(self) -> bool:
        rule = self.rules.alarm
        now, wanted = self.events[-1].time, self.events[-1].condition
        run = []
        for event in reversed(self.events):
            if event.condition is None and wanted is False:
                break
            if event.condition is not None and event.condition is not wanted:
                break
            if event.condition is not None:
                run.append(event.time)
        was = self.alarms[-1][1] if self.alarms else False
        if not was:
            fallen = [b[0] for a, b in zip(self.alarms, self.alarms[1:], strict=False) if a[1] and not b[1]]
            is_quiet = any(now < time + rule.cool_down for time in fallen)
            lasts = len(run) >= rule.on_count and now - run[-1] >= rule.on_delay
            return bool(wanted) and lasts and not is_quiet
        return bool(wanted) or not (len(run) >= rule.off_count and now - run[-1] >= rule.off_delay)

    def _is_worth_it(self, event: Event) -> bool:
        if not self.reports:
            return True
        at, last = self.reports[-1]
        key = [(v.alarm, v.label, v.quality) for v in (last.verdict, event.verdict)]
        rule, since = self.rules.report, event.time - at
        if key[0] != key[1] or since >= rule.at_least_every:
            return True
        return since >= rule.at_most_every and (rule.on == "every" or self._moved(last.verdict, event.verdict))

    def _moved(self, last: Verdict, new: Verdict) -> bool:
        rule = self.rules.report
        bands = [rule.dead_band, rule.dead_band_percent]
        if None in (last.value, new.value) or (new.label is not None and bands == [None, None]):
            return False
        assert last.value is not None
        assert new.value is not None
        size = abs(new.value - last.value)
        return size > (bands[0] or 0) and size > abs(last.value) * (bands[1] or 0) / 100


def _still_out(values: list[float], limit: float | None, clear: float | None) -> bool:
    """Whether a value went above the limit and none since has come back far enough."""
    if limit is None:
        return False
    out = [index for index, value in enumerate(values) if value > limit]
    since = values[out[-1] + 1 :] if out else []
    return bool(out) and not any(clear is None or value < clear for value in since)


def _negative(limit: float | None) -> float | None:
    return None if limit is None else -limit


def _rules(rng: random.Random) -> Rules:
    above, below = rng.choice([(1.0, None), (1.0, -1.0), (None, -1.0)])
    n = rng.choice([1, 1, 3, 5])
    alarm = AlarmRule(
        above=above,
        below=below,
        clear_below=rng.choice([None, 0.5, 1.0]) if above is not None else None,
        clear_above=rng.choice([None, -0.5, -1.0]) if below is not None else None,
        k=rng.randint(1, n),
        n=n,
        on_delay=rng.choice([0.0, 0.0, 1.0, 3.0]),
        on_count=rng.choice([1, 1, 2, 4]),
        off_delay=rng.choice([0.0, 0.0, 1.0, 3.0]),
        off_count=rng.choice([1, 1, 2, 4]),
        cool_down=rng.choice([0.0, 0.0, 5.0]),
    )
    report = ReportRule(
        on=rng.choice(["every", "change"]),
        dead_band=rng.choice([None, 0.0, 0.25, 0.5]),
        dead_band_percent=rng.choice([None, 25.0, 50.0]),
        at_least_every=rng.choice([math.inf, 4.0, 10.0]),
        at_most_every=rng.choice([0.0, 0.0, 1.0, 3.0]),
    )
    return Rules(
        alarm if rng.random() < 0.8 else AlarmRule(above=above, below=below),
        report if rng.random() < 0.8 else ReportRule(),
        QualityRule(
            min_confidence=rng.choice([None, 0.5]),
            stale_after=rng.choice([None, 2.0, 6.0]),
            on_bad=rng.choice(["hold", "alarm", "clear"]),
            hold_uncertain=rng.random() < 0.5,
        ),
    )


def _outcome(rng: random.Random, rules: Rules, value: float) -> Outcome:
    if rng.random() < 0.08:
        return Outcome(None)
    label = rng.choice("ab") if rules.quality.min_confidence is not None else None
    high = rules.alarm.above is not None and value > rules.alarm.above
    low = rules.alarm.below is not None and value < rules.alarm.below
    return Outcome(value, label, high or low)


def _restarted(judge: Judge, rules: Rules, before: float, after: float) -> Judge:
    """Save to bytes at one reading of the clock, and restore at another."""
    data = msgspec.msgpack.encode(judge.save(before))
    new = Judge(rules)
    for stream, state in msgspec.msgpack.decode(data, type=dict[str, StreamState]).items():
        new.restore(stream, state, after)
    return new


@pytest.mark.parametrize("seed", range(40))
def test_verdicts_equal_the_reference(seed: int) -> None:
    """Values, alarms, qualities and reports on 2000 pairs of streams: time back and forth, NaN, gaps, restarts."""
    rng = random.Random(seed)
    for _ in range(STREAMS_A_SEED):
        rules = _rules(rng)
        judge, references = Judge(rules), {name: Reference(rules) for name in "ab"}
        now, offset, value = 0.0, 0.0, {"a": 0.0, "b": 0.5}
        for _ in range(STEPS):
            now += rng.choice([0.0, 0.0, 0.25, 0.5, 0.5, 1.0, 1.0, 2.5, -0.75])
            name = rng.choice("ab")
            if rng.random() < 0.03:
                moved = rng.choice([-1000.0, 0.0, 64.0])
                judge, offset = _restarted(judge, rules, now + offset, now + moved), moved
            elif rng.random() < 0.3:
                expected = [(one, v) for one in "ab" for v in references[one].advance(now)]
                assert sorted(judge.advance(now + offset), key=lambda pair: pair[0]) == expected
            else:
                value[name] = max(-2.0, min(2.0, value[name] + rng.choice([-1, -0.5, -0.125, 0, 0, 0.125, 0.5, 1])))
                outcome = _outcome(rng, rules, value[name])
                window: WindowQuality = rng.choice(["good", "good", "good", "good", "uncertain", "bad_input"])
                wanted, is_reported = references[name].judge(now, outcome, window)
                found = judge.judge(name, now + offset, outcome, window)
                assert found == msgspec.structs.replace(wanted, report=is_reported)


def test_without_options_outcomes_are_passed_on() -> None:
    """Value, label and alarm of the model, every time; only numbers that are none become bad."""
    judge = Judge(Rules())
    for outcome in (Outcome(0.5), Outcome(0.9, "x", True), Outcome(0.9, "x", True), Outcome(0.1, "y", False)):
        found = judge.judge("a", 0.0, outcome)
        assert found == Verdict(outcome.value, outcome.label, outcome.alarm, "good", True)
    assert judge.judge("a", 0.0, Outcome(None)) == Verdict(None, None, False, "bad", True, "not_finite")
    assert judge.advance(1e9) == []
    assert judge.next_due == math.inf


@pytest.mark.parametrize(
    ("on_bad", "before", "after"), [("hold", None, True), ("alarm", True, True), ("clear", False, False)]
)
def test_a_bad_sensor_never_yields_a_number(on_bad: str, before: bool | None, after: bool) -> None:
    """Neither value nor label, and the alarm that was chosen: above all, held before any evidence, no all-clear."""
    judge = Judge(Rules(quality=QualityRule(stale_after=5, on_bad=on_bad)))  # type: ignore[arg-type]
    sure = Outcome(0.99, "broken", True)
    assert judge.judge("a", 0, sure, "bad_input") == Verdict(None, None, before, "bad_input", True, "bad_input")
    judge.judge("a", 1, sure)
    assert judge.judge("a", 2, sure, "bad_input") == Verdict(None, None, after, "bad_input", True, "bad_input")
    assert judge.next_due <= 7
    assert judge.advance(6.9) == []
    assert judge.next_due == 7
    assert judge.advance(7) == [("a", Verdict(None, None, after, "stale", True, "silent"))]
    assert judge.advance(100) == [], "silence is reported once"


def test_what_is_reported_later_says_where_it_came_from() -> None:
    """A value held back keeps the time and number of its own reading."""
    judge = Judge(Rules(report=ReportRule(at_most_every=10), quality=QualityRule(stale_after=60)))
    for number in range(1, 5):
        judge.judge("a", number, Outcome(float(number)), "good", Origin(1e9 + number, True, number, 0.1))
    ((_, held),) = judge.advance(11)
    assert (held.value, held.origin) == (4.0, Origin(1e9 + 4, True, 4, 0.1))
    ((_, silent),) = judge.advance(64)
    assert (silent.quality, silent.origin) == ("stale", Origin(1e9 + 4, True, 4, 0.1))


def test_a_forgotten_stream_begins_anew() -> None:
    """Nothing of an evicted stream is left, so that its owner's bound is the judge's."""
    judge = Judge(Rules(quality=QualityRule(stale_after=5)))
    judge.judge("a", 0, Outcome(1.0))
    judge.evict("a")
    judge.evict("never seen")
    assert (len(judge), judge.advance(100), judge.save(0)) == (0, [], {})


def test_what_was_saved_under_other_rules_is_taken() -> None:
    """Options added between two starts work for the streams of before: the alarm is kept, silence is noticed."""
    before, after = Judge(Rules()), Judge(Rules(quality=QualityRule(stale_after=5)))
    before.judge("a", 100, Outcome(0.9, "x", True))
    for stream, state in before.save(100).items():
        after.restore(stream, state, 7)
    assert after.advance(11.9) == []
    assert after.advance(12) == [("a", Verdict(None, None, True, "stale", True, "silent"))]
    assert after.advance(100) == []


def test_a_report_that_was_given_up_is_made_again() -> None:
    """What found no room in the outbox has told nobody: the next prediction is news, changed or not."""
    judge = Judge(Rules(report=ReportRule(on="change")))
    outcome = Outcome(1.0, alarm=True)
    assert judge.judge("pump", 0.0, outcome).report
    assert not judge.judge("pump", 1.0, outcome).report
    judge.unreported("pump")
    judge.unreported("nobody")
    assert judge.judge("pump", 2.0, outcome).report
