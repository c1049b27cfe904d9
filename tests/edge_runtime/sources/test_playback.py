"""Rows become messages on the right topic, at the right moment."""

from __future__ import annotations

import json

import pytest

from edge_runtime.errors import BadInput
from edge_runtime.sources.playback import Pace, TopicTemplate, messages
from edge_runtime.sources.table import Row

COLUMNS = ("unit", "cycle", "temperature")
ROW = Row(7, {"unit": "3", "cycle": "12", "temperature": "641.5"})


def test_a_row_becomes_one_json_object_on_its_topic() -> None:
    """Every column is a field; placeholders take the cell's text."""
    [(topic, payload)] = messages([ROW], TopicTemplate("plant/{unit}/telemetry/{cycle}", COLUMNS))
    assert topic == "plant/3/telemetry/12"
    assert json.loads(payload) == {"unit": 3, "cycle": 12, "temperature": 641.5}


@pytest.mark.parametrize("text", ["", "plant/+/x", "plant/#", "plant/{unit", "plant/unit}", "a\0b", "{{unit}}"])
def test_what_cannot_be_published_to_is_refused(text: str) -> None:
    """Wildcards and stray braces are mistakes, not topics."""
    with pytest.raises(BadInput) as caught:
        TopicTemplate(text, COLUMNS)
    assert caught.value.code == "E-REPLAY-TOPIC"


def test_an_unknown_placeholder_names_the_nearest_column() -> None:
    """A typing mistake is answered with the right word."""
    with pytest.raises(BadInput) as caught:
        TopicTemplate("plant/{units}", COLUMNS)
    assert caught.value.code == "E-REPLAY-TOPIC"
    assert "did you mean {unit}?" in caught.value.fix


@pytest.mark.parametrize("cell", ["", "a/b", "a+", "#"])
def test_a_cell_that_would_bend_the_topic_is_refused_with_its_line(cell: str) -> None:
    """No row may escape to another topic."""
    with pytest.raises(BadInput) as caught:
        TopicTemplate("plant/{unit}", COLUMNS).fill(Row(9, {**ROW.cells, "unit": cell}))
    assert caught.value.code == "E-REPLAY-TOPIC-VALUE"
    assert "line 9" in caught.value.message


class Time:
    """A clock that only moves when somebody sleeps or works."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        """Return the moment."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def test_the_pace_does_not_drift() -> None:
    """Work of any length between two items is taken off the wait, and a late item does not shift those after it."""
    time = Time()
    pace = Pace(10.0, time.clock, time.sleep)
    moments = []
    for work in (0.01, 0.09, 0.25, 0.0, 0.0, 0.0):
        pace.wait()
        moments.append(round(time.now - 100.0, 6))
        time.sleep(work)
    assert moments == [0.0, 0.1, 0.2, 0.45, 0.45, 0.5]


def test_rate_0_never_waits() -> None:
    """As fast as possible means no sleep at all."""
    time = Time()
    pace = Pace(0.0, time.clock, time.sleep)
    for _ in range(5):
        pace.wait()
    assert time.now == 100.0
