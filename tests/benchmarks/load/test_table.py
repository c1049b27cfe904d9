"""Tables and verdicts from slots made up for them."""

from __future__ import annotations

import pytest

from benchmarks.load import table
from benchmarks.load.run import BARE, Slot, figures_of, judged
from benchmarks.load.scenario import Scenario

LOAD = Scenario("mlp-qos0", "the load", b"", 0, 1, ("naive", "nodelay", "daemon", "node-red"))
GOAL = table.GOALS[0]


def slot(program: str, number: int, worst: float = 0.0, lost: int = 0, **figures: float) -> Slot:
    """Return what one program did in one round."""
    return Slot(LOAD.name, program, number, figures, 100, worst, lost)


def test_ratios_are_paired_inside_rounds() -> None:
    """A round that was slow for both counts as a fast one does; a round without one of them does not count."""
    slots = [slot("naive", 0, cpu_us=100), slot("daemon", 0, cpu_us=10), slot("naive", 1, cpu_us=900)]
    slots += [slot("daemon", 1, cpu_us=180), slot("daemon", 2, cpu_us=50)]
    assert table.ratios(slots, GOAL) == [0.1, 0.2]


@pytest.mark.parametrize(
    ("goal", "daemon", "other", "holds"),
    [(0, 20, 100, True), (0, 21, 100, False), (2, 500, 100, True), (2, 499, 100, False), (5, 130, 100, True)],
)
def test_a_goal_is_met_at_its_limit_and_missed_beyond(goal: int, daemon: float, other: float, holds: bool) -> None:
    """At most, and at least, both with the limit itself."""
    wanted = table.GOALS[goal]
    slots = [slot("daemon", 0, **{wanted.figure: daemon}), slot(wanted.other, 0, **{wanted.figure: other})]
    assert table.verdicts(slots)[goal].holds is holds


def test_what_was_not_run_has_no_verdict() -> None:
    """Nothing is met by not being measured."""
    assert {each.holds for each in table.verdicts([])} == {None}
    assert "not run" in table.verdict_table(table.verdicts([]))


@pytest.mark.parametrize(("worst", "lost", "holds"), [(1e-6, 0, True), (2e-6, 0, False), (0.0, 1, False)])
def test_a_wrong_or_missing_answer_fails(worst: float, lost: int, holds: bool) -> None:
    """One is enough, in whichever round; the naive script's own are not held against the daemon."""
    slots = [slot("daemon", 0), slot("daemon", 1, worst, lost), slot("naive", 0, 1.0, 5)]
    assert table.verdicts(slots)[-1].holds is holds
    assert table.complete(slots[:2]).holds is holds


def test_the_table_has_median_and_range_and_says_what_is_absent() -> None:
    """One row for each program, also for the one that is not installed."""
    slots = [slot("daemon", number, cpu_us=us, rate=9) for number, us in enumerate((10, 30, 20))]
    slots += [slot(BARE, 0, rss=55.24)]
    text = table.markdown(slots, [LOAD], {"node-red": "not installed: node"})
    assert "| **this daemon** | 20 [10 to 30] | 9 [9 to 9] |" in text
    assert "| Node-RED | not installed: node |" in text
    assert "| bare session |" in text
    assert "55.2" in text
    assert len({line.count("|") for line in text.splitlines()}) == 1


def test_whether_broker_or_generator_was_the_limit_can_be_seen() -> None:
    """The largest share of a core in any slot."""
    slots = [slot("daemon", 0, broker_share=40, generator_share=55), slot("naive", 0, broker_share=7)]
    assert table.busy(slots) == "At the highest rates took, of a core, at most: broker 40 %, generator 55 %."


def test_the_table_of_several_daemons() -> None:
    """Sorted by their number."""
    slots = [slot(count, 0, rate=rate) for count, rate in (("4", 3.0), ("1", 1.0), ("2", 2.0))]
    assert [line[:5] for line in table.scale_table(slots).splitlines()[2:]] == ["| 1 |", "| 2 |", "| 4 |"]


def test_figures_of_phases() -> None:
    """µs per answer, answers per second and % of a core, from what the generator saw."""
    cpu = {"program": 0.5, "broker": 0.1, "generator": 0.2}
    phase = {
        "name": "closed",
        "answered": 1000,
        "seconds": 2.0,
        "cpu": cpu,
        "latencies_us": [],
        "worst": 0.1,
        "lost": 0,
    }
    assert figures_of(phase)["cpu_us"] == 500
    assert figures_of(phase)["rate"] == 500
    assert figures_of(phase)["broker_share"] == 5
    paced = {**phase, "name": "100", "latencies_us": list(range(200)), "worst": None, "lost": 3}
    assert figures_of(paced) == {"cpu_100": 25.0, "p50_100": 99.5, "p99_100": 198}
    assert figures_of({**phase, "name": "rest"}) == {"cpu_rest": 25.0}
    assert judged([phase, paced]) == (2000, 0.1, 3)
