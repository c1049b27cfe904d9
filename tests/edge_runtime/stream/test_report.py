"""Report by exception, case by case; test_judge.py compares it with a naive reference."""

from __future__ import annotations

from edge_runtime.inference.postprocess import Outcome
from edge_runtime.stream.judge import Judge, Rules
from edge_runtime.stream.report import ReportRule


def _reported(rule: ReportRule, values: list[float], *, label: str | None = None) -> list[float]:
    judge = Judge(Rules(report=rule))
    verdicts = [judge.judge("a", second, Outcome(value, label)) for second, value in enumerate(values)]
    return [verdict.value for verdict in verdicts if verdict.report and verdict.value is not None]


def test_a_slow_drift_does_not_hide_in_the_dead_band() -> None:
    """The comparison is with what was reported, not with the last value."""
    values = [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]
    assert _reported(ReportRule("change", dead_band=0.5), values) == [0.0, 0.75]


def test_the_larger_of_two_dead_bands_counts() -> None:
    """Percent for large values, the absolute one near zero, where any percentage is next to nothing."""
    rule = ReportRule("change", dead_band=1, dead_band_percent=10)
    assert _reported(rule, [0.0, 0.5, 2.0, 100.0, 109.0, 111.0]) == [0.0, 2.0, 100.0, 111.0]
    assert _reported(ReportRule("change", dead_band_percent=10), [-100.0, -109.0, -111.0]) == [-100.0, -111.0]


def test_a_score_counts_only_with_a_dead_band() -> None:
    """Scores of a class jitter with every prediction; its name is the news."""
    assert _reported(ReportRule("change"), [0.9, 0.8, 0.7], label="ok") == [0.9]
    assert _reported(ReportRule("change", dead_band=0.15), [0.9, 0.8, 0.7], label="ok") == [0.9, 0.7]
    assert _reported(ReportRule("change"), [0.9, 0.8, 0.8]) == [0.9, 0.8]


def test_label_and_alarm_do_not_wait() -> None:
    """Neither a dead-band nor a rate limit holds back what an operator must know."""
    judge = Judge(Rules(report=ReportRule("change", dead_band=10, at_most_every=100)))
    outcomes = [
        Outcome(1.0, "ok", False),
        Outcome(1.0, "hot", False),
        Outcome(1.0, "hot", True),
        Outcome(1.0, "hot", True),
    ]
    assert [judge.judge("a", 0, outcome).report for outcome in outcomes] == [True, True, True, False]


def test_the_newest_of_the_values_held_back_is_reported_in_time() -> None:
    """A rate limit delays the last word, and does not swallow it."""
    judge = Judge(Rules(report=ReportRule("change", at_most_every=10)))
    assert [judge.judge("a", second, Outcome(float(second))).report for second in range(4)] == [
        True,
        False,
        False,
        False,
    ]
    assert judge.advance(9.9) == []
    assert [(stream, verdict.value, verdict.report) for stream, verdict in judge.advance(10)] == [("a", 3.0, True)]
    assert judge.advance(1000) == []


def test_a_value_that_came_back_is_no_news() -> None:
    """Held back and then again what was reported: nothing is left to say."""
    judge = Judge(Rules(report=ReportRule("change", dead_band=0.5, at_most_every=10)))
    for second, value in enumerate([0.0, 5.0, 0.25]):
        judge.judge("a", second, Outcome(value))
    assert judge.advance(10) == []


def test_a_heartbeat_never_repeats_an_old_number() -> None:
    """An unchanged stream is heard of with its newest value; one without new predictions is not made to look alive."""
    judge = Judge(Rules(report=ReportRule("change", dead_band=1, at_least_every=60)))
    judge.judge("a", 0, Outcome(5.0))
    judge.judge("a", 50, Outcome(5.25))
    assert judge.advance(59) == []
    assert [verdict.value for _, verdict in judge.advance(60)] == [5.25]
    assert judge.advance(1000) == []
