"""The alarm, in the situations that docs/alarms.md draws; test_judge.py compares it with a naive reference."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_runtime.inference.postprocess import Outcome
from edge_runtime.stream.alarm import Alarm, AlarmRule, AlarmState

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "alarms.md").read_text(encoding="utf-8")


def _alarms(rule: AlarmRule, signs: str) -> str:
    """Return the alarm after each second: ``#`` for in alarm, ``.`` for not; ``?`` goes in as not trusted."""
    alarm, state, seen = Alarm(rule), AlarmState(), ""
    for second, sign in enumerate(signs):
        if sign == "?":
            alarm.interrupt(state)
        else:
            alarm.update(state, float(second), Outcome(1.0, None, sign == "#"))
        seen += "#" if state.active else "."
    return seen


@pytest.mark.parametrize(
    ("title", "rule"),
    [
        ("k of n", AlarmRule(k=3, n=5)),
        ("on-delay and off-delay", AlarmRule(on_delay=3, off_delay=4)),
        ("counts", AlarmRule(on_count=3, off_count=2)),
        ("cool-down", AlarmRule(cool_down=8)),
        ("not trusted", AlarmRule(on_delay=3, off_delay=3)),
    ],
)
def test_the_diagrams_are_what_happens(title: str, rule: AlarmRule) -> None:
    """Each diagram of the page, played."""
    found = re.search(rf"^{title}\n *prediction +([#.?]+)\n *alarm +([#.]+)$", PAGE, re.MULTILINE)
    assert found, title
    assert _alarms(rule, found[1]) == found[2]


def test_the_diagram_of_hysteresis_is_what_happens() -> None:
    """Raised above one limit, cleared below another."""
    found = re.search(r"^hysteresis\n *value +([0-9]+)\n *alarm +([#.]+)$", PAGE, re.MULTILINE)
    assert found
    alarm, state, seen = Alarm(AlarmRule(above=7, clear_below=4)), AlarmState(), ""
    for second, digit in enumerate(found[1]):
        value = float(digit)
        alarm.update(state, float(second), Outcome(value, None, value > 7))
        seen += "#" if state.active else "."
    assert seen == found[2]


def test_each_limit_has_its_own_hysteresis() -> None:
    """Fallen from far above to near the lower limit, the value is out of neither."""
    alarm, state = Alarm(AlarmRule(above=10, below=0, clear_below=8, clear_above=2)), AlarmState()
    seen = []
    for second, value in enumerate([5.0, 11, 9, 1, -1, 1, 9]):
        alarm.update(state, float(second), Outcome(value, None, not 0 <= value <= 10))
        seen.append(state.active)
    assert seen == [False, True, True, False, True, True, False]


def test_a_decision_without_alarm_has_none() -> None:
    """A regression value neither raises nor clears."""
    alarm, state = Alarm(AlarmRule()), AlarmState()
    alarm.update(state, 0.0, Outcome(5.0))
    assert state.active is None
