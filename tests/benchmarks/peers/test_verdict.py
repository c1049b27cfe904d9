"""The rules that edgeopt's row is held to, on numbers made up to meet and to break them."""

from __future__ import annotations

from benchmarks.latency import Interval
from benchmarks.peers import page
from benchmarks.peers.results import COPY, FLOAT32, OURS, Row, Table, ratios
from benchmarks.peers.run import SATURATING, Machine, distinct
from benchmarks.peers.verdict import (
    ahead_somewhere,
    inside_the_budget,
    near_the_fastest,
    not_slower,
    verdicts,
)


def row(tool: str, speedups: tuple[float, ...], metric: float | None, session: dict[str, str] | None = None) -> Row:
    """Return a row with intervals 2 % wide on each side."""
    intervals = tuple(Interval(value, value * 0.98, value * 1.02) for value in speedups)
    return Row(tool, f"{tool} 1.0", session or {}, 50_000, 1.5, 90_000_000, metric, intervals, (0.1,) * len(speedups))


def table(*rows: Row, worst: float = 0.90, higher: bool = True) -> Table:
    """Return a table of float32 and the rows."""
    return Table("model", "top1", worst, higher, (row(FLOAT32, (1.0, 1.0, 1.0), 0.903), *rows))


def test_the_median_process_speaks_for_a_row() -> None:
    """The speed-up is that of the median process with its interval; the spread is over all processes."""
    found = row("tool", (1.5, 1.2, 1.4), 0.9)
    assert found.speedup is not None
    assert (found.speedup.value, found.spread) == (1.4, (1.2, 1.5))
    assert (Row("tool", reason="failed").speedup, Row("tool").spread) == (None, None)


def test_only_what_runs_inside_the_budget_counts() -> None:
    """The budget's edge is inside, whichever way the metric points; what does not run is never inside."""
    accuracy = table()
    error = table(worst=15.9, higher=False)
    assert accuracy.inside(row("tool", (1.0,), 0.1 + 0.8))
    assert not accuracy.inside(row("tool", (1.0,), 0.8995))
    assert error.inside(row("tool", (1.0,), 15.9))
    assert not error.inside(row("tool", (1.0,), 15.91))
    assert not accuracy.inside(row("tool", (), 0.95))
    assert not accuracy.inside(row("tool", (1.0,), None))
    assert not accuracy.inside(row("tool", (1.0,), float("nan")))


def test_a_tool_counts_with_its_faster_session_inside_the_budget() -> None:
    """Saturating sums are faster and count only where they keep the metric."""
    exact = row("tool", (1.2,), 0.902)
    fast_and_wrong, fast_and_right = row("tool", (1.6,), 0.5, SATURATING), row("tool", (1.6,), 0.901, SATURATING)
    assert table(exact, fast_and_wrong).row("tool") is exact
    assert table(exact, fast_and_right).row("tool") is fast_and_right
    assert table(row("tool", (1.2,), 0.5), fast_and_wrong).row("tool") == row("tool", (1.2,), 0.5)
    assert [shown.tool for shown in table(exact, fast_and_right).shown()] == [FLOAT32, "tool"]


def test_the_fastest_peer_is_another_tool_inside_the_budget() -> None:
    """Neither ours, nor float32's copy, nor a faster form outside the budget."""
    best = row("right", (1.3,), 0.901)
    found = table(row(COPY, (2.0,), 0.903), row(OURS, (2.0,), 0.903), row("wrong", (1.9,), 0.5), best)
    assert found.fastest_peer() is best
    assert table(row("wrong", (1.9,), 0.5)).fastest_peer() is None


def test_below_float32_is_a_fault_only_where_it_is_shown() -> None:
    """1.0 and above holds; slightly below is what two copies of one model can show; clearly below is a fault."""
    answers = [not_slower(table(row(OURS, (value,) * 3, 0.903))).answer for value in (1.3, 1.0, 0.97, 0.9)]
    assert answers == ["yes", "yes", "within noise", "no"]


def test_nearness_is_judged_within_processes() -> None:
    """The ratio is taken inside each process, and the median ratio decides at 0.97."""
    peer = row("tool", (1.0, 2.0, 3.0), 0.903)
    assert near_the_fastest(table(row(OURS, (0.97, 1.94, 2.91), 0.903), peer)).answer == "yes"
    assert near_the_fastest(table(row(OURS, (2.0, 1.9, 2.8), 0.903), peer)).answer == "no"
    assert ratios(row(OURS, (1.5, 3.0), 0.9), row("tool", (1.0, 1.5), 0.9)) == (1.5, 2.0)


def test_no_peer_inside_the_budget_is_said() -> None:
    """Where every other tool breaks the model there is nothing to be near to."""
    found = near_the_fastest(table(row(OURS, (1.1,), 0.903), row("wrong", (1.9,), 0.5)))
    assert (found.answer, found.found) == ("yes", "no other tool is inside the budget")


def test_ahead_needs_every_process_and_one_model() -> None:
    """One model is enough; on it, every process has to show ours ahead."""
    peer = row("tool", (1.2, 1.2, 1.2), 0.903)
    ahead = table(row(OURS, (1.3, 1.25, 1.3), 0.903), peer)
    mixed = table(row(OURS, (1.3, 1.15, 1.3), 0.903), peer)
    assert ahead_somewhere([mixed, ahead]).answer == "yes"
    assert ahead_somewhere([mixed]).answer == "no"
    outside = table(row(OURS, (1.3, 1.25, 1.3), 0.5), peer)
    assert ahead_somewhere([outside]).answer == "cannot tell"


def test_ours_outside_the_budget_is_a_fault() -> None:
    """However fast it is."""
    assert inside_the_budget(table(row(OURS, (3.0,), 0.899))).answer == "no"
    assert inside_the_budget(table(row(OURS, (3.0,), 0.901))).answer == "yes"


def test_ours_failing_fails_every_rule() -> None:
    """A command that ended with an error is no excuse: all three rules of the model say so with the reason."""
    failed = table(Row(OURS, reason="E-DATA-SHAPE"), row("tool", (1.2,), 0.903))
    found = verdicts([failed])
    assert [each.answer for each in found] == ["no", "no", "no", "cannot tell"]
    assert "E-DATA-SHAPE" in found[0].found


def test_the_page_shows_every_tool_once_with_its_reason() -> None:
    """A tool that failed has its line; text cannot break out of its cell; JSON holds both sessions."""
    shown = table(
        row(OURS, (1.3,), 0.903),
        row("tool", (1.2,), 0.902),
        row("tool", (1.6,), 0.5, SATURATING),
        Row("broken", reason="ValueError: a | b"),
    )
    text = page.markdown([shown], verdicts([shown]))
    lines = [line for line in text.splitlines() if line.startswith(("| tool ", "| broken ", f"| **{OURS}** "))]
    assert [line.split("|")[1].strip() for line in lines] == [f"**{OURS}**", "tool", "broken"]
    assert "fastest other tool inside the budget" in lines[1]
    assert "no row: ValueError: a \\| b" in lines[2]
    plain = page.as_json([shown], verdicts([shown]), {"date": "today"})
    counts = [(each["tool"], each["counts"]) for each in plain["models"][0]["rows"] if each["tool"] == "tool"]
    assert counts == [("tool", True), ("tool", False)]


def test_only_another_tools_unguarded_sums_are_called_saturating() -> None:
    """Ours without the guard is made so that no sum can saturate."""
    shown = table(row(OURS, (1.3,), 0.903, SATURATING), row("tool", (1.2,), 0.902, SATURATING))
    lines = page.markdown([shown], verdicts([shown])).splitlines()
    assert [line.split("|")[1].strip() for line in lines if "saturating sums" in line] == ["tool"]


def test_the_preamble_names_machine_versions_and_doubts() -> None:
    """Whoever reads the table later knows where it comes from."""
    machine = Machine("a board", "1.32.0", ("other work was running",))
    text = page.preamble([table(row("tool", (1.2,), 0.9, SATURATING))], machine, "2026-01-02", processes=3, rounds=41)
    for words in ("2026-01-02", "a board", "1.32.0", "tool 1.0", "41", "saturate", "other work was running"):
        assert words in text


def test_a_doubt_is_said_once() -> None:
    """The same doubt of three processes, with three loads, is one doubt."""
    assert distinct(["load 1.50", "load 2.25", "hot"]) == ("load 1.50", "hot")
