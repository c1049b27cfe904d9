"""From slots to a table, and from ratios inside rounds to verdicts."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.load.run import BARE, Slot
from benchmarks.load.scenario import Scenario

DAEMON, NAIVE, NODELAY = "daemon", "naive", "nodelay"
SAME_OUTPUT = 1e-6

_SAME = f"outputs within {SAME_OUTPUT:g} of the naive script's, none missing"
_TITLES = {NODELAY: "naive with TCP_NODELAY", "node-red": "Node-RED", DAEMON: "**this daemon**"}
_COLUMNS = (
    ("CPU µs/message", "cpu_us", "{:.0f}"),
    ("highest rate, messages/s", "rate", "{:.0f}"),
    ("p50 at 100/s, µs", "p50_100", "{:.0f}"),
    ("p99 at 100/s, µs", "p99_100", "{:.0f}"),
    ("p50 at 1000/s, µs", "p50_1000", "{:.0f}"),
    ("p99 at 1000/s, µs", "p99_1000", "{:.0f}"),
    ("CPU % at 100/s", "cpu_100", "{:.1f}"),
    ("CPU % at 1000/s", "cpu_1000", "{:.1f}"),
    ("CPU % at rest", "cpu_rest", "{:.2f}"),
    ("RSS MB", "rss", "{:.1f}"),
    ("private MB", "private", "{:.1f}"),
)


@dataclass(frozen=True)
class Goal:
    """A bound on the ratio of one figure of the daemon to that of another program on the same load."""

    scenario: str
    figure: str
    other: str
    bound: Literal["at most", "at least"]
    limit: float
    words: str


GOALS = (
    Goal("mlp-qos0", "cpu_us", NAIVE, "at most", 0.2, "CPU per message, QoS 0"),
    Goal("mlp-qos1", "cpu_us", NAIVE, "at most", 0.25, "CPU per message, QoS 1 with broker delivery"),
    Goal("mlp-qos0", "rate", NAIVE, "at least", 5.0, "highest rate, QoS 0"),
    Goal("cnn-qos0", "cpu_100", NAIVE, "at most", 0.1, "CPU at 100 messages/s with the CNN"),
    Goal("mlp-qos0", "p50_1000", NODELAY, "at most", 1.0, "p50 at 1000 messages/s against TCP_NODELAY"),
    Goal("mlp-qos0", "rss", BARE, "at most", 1.3, "RSS against a bare process with one session"),
)


@dataclass(frozen=True)
class Verdict:
    """One goal, whether it is met (None: not run), and what was found."""

    goal: str
    holds: bool | None
    found: str


def ratios(slots: Sequence[Slot], goal: Goal) -> list[float]:
    """Return the daemon's figure over the other program's, one ratio for each round that has both."""
    by_round: dict[int, dict[str, float]] = {}
    for slot in slots:
        if slot.scenario == goal.scenario and slot.figures.get(goal.figure, 0.0) > 0:
            by_round.setdefault(slot.round, {})[slot.program] = slot.figures[goal.figure]
    return [each[DAEMON] / each[goal.other] for each in by_round.values() if {DAEMON, goal.other} <= set(each)]


def verdicts(slots: Sequence[Slot]) -> list[Verdict]:
    """Return one verdict for each goal, and one on the outputs."""
    mine = [slot for slot in slots if slot.program == DAEMON]
    return [*(_verdict(slots, goal) for goal in GOALS), _outputs(_SAME, mine)]


def markdown(slots: Sequence[Slot], loads: Sequence[Scenario], absent: Mapping[str, str]) -> str:
    """Return one table for each load: the median over the rounds and, in brackets, the smallest and the largest."""
    return "\n\n".join(_table(slots, load, absent) for load in loads)


def verdict_table(found: Sequence[Verdict]) -> str:
    """Return the verdicts as a table."""
    lines = ["| goal | met | found |", "|---|---|---|"]
    words = {True: "yes", False: "no", None: "not run"}
    return "\n".join([*lines, *(f"| {each.goal} | {words[each.holds]} | {each.found} |" for each in found)])


def busy(slots: Sequence[Slot]) -> str:
    """Return how busy broker and generator were at the highest rates: whether one of them was the limit."""
    found = {who: [slot.figures.get(f"{who}_share", 0.0) for slot in slots] for who in ("broker", "generator")}
    words = [f"{who} {max(shares, default=0.0):.0f} %" for who, shares in found.items()]
    return f"At the highest rates took, of a core, at most: {', '.join(words)}."


def scale_table(slots: Sequence[Slot]) -> str:
    """Return the table of several daemons on one shared subscription."""
    columns = (
        ("messages/s", "rate", "{:.0f}"),
        ("CPU µs/message, all daemons", "cpu_us", "{:.0f}"),
        ("of it in the busiest daemon, %", "busiest", "{:.0f}"),
        ("broker CPU µs/message", "broker_us", "{:.1f}"),
        ("broker, % of a core", "broker_share", "{:.0f}"),
        ("generator, % of a core", "generator_share", "{:.0f}"),
        ("private MB, all daemons", "private", "{:.0f}"),
    )
    lines = [_line(["daemons", *(title for title, _, _ in columns)]), _line(["---:"] * (len(columns) + 1))]
    for count in sorted({int(slot.program) for slot in slots}):
        mine = [slot for slot in slots if slot.program == str(count)]
        lines.append(_line([str(count), *(_cell(mine, figure, form) for _, figure, form in columns)]))
    return "\n".join(lines)


def complete(slots: Sequence[Slot]) -> Verdict:
    """Return whether every reading was answered with the model's own output."""
    return _outputs(f"outputs within {SAME_OUTPUT:g} of the model's, none missing", slots)


def _verdict(slots: Sequence[Slot], goal: Goal) -> Verdict:
    words = f"{goal.words}: {goal.bound} {goal.limit:g} x {goal.other}"
    found = ratios(slots, goal)
    if not found:
        return Verdict(words, None, "no round has both")
    middle = statistics.median(found)
    holds = middle <= goal.limit if goal.bound == "at most" else middle >= goal.limit
    return Verdict(words, holds, f"{middle:.3g} x [{min(found):.3g} to {max(found):.3g}], {len(found)} rounds")


def _outputs(words: str, mine: Sequence[Slot]) -> Verdict:
    compared = [slot.worst for slot in mine if slot.worst is not None]
    if not compared:
        return Verdict(words, None, "no answer was compared")
    lost, answers = sum(slot.lost for slot in mine), sum(slot.answers for slot in mine)
    found = f"{answers} answers, largest difference {max(compared):.2g}, {lost} missing"
    return Verdict(words, max(compared) <= SAME_OUTPUT and lost == 0, found)


def _table(slots: Sequence[Slot], load: Scenario, absent: Mapping[str, str]) -> str:
    lines = [_line([load.title, *(title for title, _, _ in _COLUMNS)]), _line(["---", *["---:"] * len(_COLUMNS)])]
    for program in (*load.programs, BARE):
        title = _TITLES.get(program, program)
        if program in absent:
            lines.append(_line([title, absent[program], *[""] * (len(_COLUMNS) - 1)]))
            continue
        mine = [slot for slot in slots if (slot.scenario, slot.program) == (load.name, program)]
        lines.append(_line([title, *(_cell(mine, figure, form) for _, figure, form in _COLUMNS)]))
    return "\n".join(lines)


def _cell(slots: Sequence[Slot], figure: str, form: str) -> str:
    found = [slot.figures[figure] for slot in slots if figure in slot.figures]
    if not found:
        return ""
    middle, low, high = (form.format(number) for number in (statistics.median(found), min(found), max(found)))
    return f"{middle} [{low} to {high}]" if len(found) > 1 else middle


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
