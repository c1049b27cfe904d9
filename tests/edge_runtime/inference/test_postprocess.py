"""Decisions: from raw outputs to a label, an alarm or a value; a number that is none decides nothing."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.inference.postprocess import Argmax, Decision, Outcome, Threshold, Value

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("seed", range(20))
def test_argmax_takes_the_largest_score(seed: int) -> None:
    """For random scores of any shape the label is that of the largest, and its score is the value."""
    scores = np.random.default_rng(seed).normal(size=(1, 5)).astype(np.float32)
    labels = ("a", "b", "c", "d", "e")
    outcome = Argmax(labels, alarm_on=("b", "d")).decide(scores)[0]
    assert outcome.value == float(scores.max())
    assert outcome.label == labels[int(scores.ravel().argmax())]
    assert outcome.alarm == (outcome.label in {"b", "d"})


def test_a_class_without_a_label_is_its_index() -> None:
    """Missing labels do not hide a class; without alarm labels there is no alarm to speak of."""
    assert Argmax(("ok",)).decide(np.array([[0.1, 0.9]])) == [Outcome(0.9, "1", None)]
    assert Argmax(alarm_on=("1",)).decide(np.array([[0.1, 0.9]])) == [Outcome(0.9, "1", True)]


@pytest.mark.parametrize(
    ("limits", "value", "alarm"),
    [
        ({"above": 1.0}, 1.5, True),
        ({"above": 1.0}, 1.0, False),
        ({"above": 1.0}, -9.0, False),
        ({"below": -1.0}, -1.5, True),
        ({"below": -1.0}, -1.0, False),
        ({"above": 1.0, "below": -1.0}, 0.0, False),
        ({"above": 1.0, "below": -1.0}, -2.0, True),
        ({"above": 0.0}, 0.5, True),
    ],
)
def test_a_threshold_alarms_outside_its_limits(limits: dict[str, float], value: float, alarm: bool) -> None:
    """Strictly above or below; a limit of 0 is a limit; the limit itself is still inside."""
    assert Threshold(**limits).decide(np.array([[value]])) == [Outcome(value, None, alarm)]  # type: ignore[arg-type]


def test_a_threshold_looks_at_the_named_element() -> None:
    """By default the last element of the flat output, else the one named."""
    output = np.array([[0.9, 0.2]])
    assert Threshold(above=0.5).decide(output)[0].alarm is False
    assert Threshold(above=0.5, index=0).decide(output)[0].alarm is True


def test_a_threshold_without_limits_is_refused() -> None:
    """It could never alarm, and would look as if it watched."""
    with pytest.raises(ValueError, match="above, below or both"):
        Threshold()


def test_a_value_is_passed_on() -> None:
    """Regression publishes the number itself, as a plain float, whatever the output's type."""
    assert Value(index=1, unit="cycles").decide(np.array([[1, 42]], dtype=np.int64)) == [Outcome(42.0)]


@pytest.mark.parametrize("decision", [Argmax(("ok", "bad"), ("bad",)), Threshold(above=0.5), Value(index=-1)])
@pytest.mark.parametrize("output", [[0.0, NAN], [0.0, INF], [NAN, -INF]])
def test_a_number_that_is_none_decides_nothing(decision: Decision, output: list[float]) -> None:
    """NaN and infinity give no value, no label and above all no all-clear."""
    assert decision.decide(np.array([output])) == [Outcome(None, None, None)]


def test_samples_are_decided_on_one_by_one() -> None:
    """A bad sample among good ones takes nothing from them."""
    outputs = np.array([[0.1, 0.9], [NAN, 0.5], [0.7, 0.2]])
    assert Argmax(("a", "b")).decide(outputs) == [Outcome(0.9, "b"), Outcome(None), Outcome(0.7, "a")]
    assert [one.value for one in Value().decide(outputs)] == [0.1, None, 0.7]
    assert [one.alarm for one in Threshold(above=0.4).decide(outputs)] == [True, True, False]


def test_argmax_of_nothing_decides_nothing() -> None:
    """A detector that found nothing has no largest score."""
    assert Argmax(("a",)).decide(np.zeros((1, 0))) == [Outcome(None)]
