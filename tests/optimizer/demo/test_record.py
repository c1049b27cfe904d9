"""The demo passes only if it showed what it promises."""

from __future__ import annotations

import pytest

from edge_runtime.errors import EdgeoptError
from edge_runtime.messaging.json_payload import Prediction
from optimizer.demo.record import Record


def prediction(stream: str, *, alarm: bool) -> Prediction:
    """Return a prediction as the daemon publishes it."""
    return Prediction(
        v=1,
        id="b-1",
        seq=1,
        boot="b",
        ts="2026-01-31T12:00:00.000Z",
        ts_src="sensor",
        pipeline="bearing",
        stream=stream,
        reading=1,
        model="bearing",
        model_version=1,
        variant="cpu-u8s8",
        latency_ms=0.1,
        quality="good",
        value=0.9,
        label="outer_race_fault" if alarm else "normal",
        alarm=alarm,
    )


def recorded(healthy: tuple[Prediction, ...], damaged: tuple[Prediction, ...]) -> Record:
    """Return a record of predictions before and after the damage of pump-2 at 100 s, the later ones from 101 s on."""
    record = Record("pump-2")
    for one in healthy:
        record.add(one, 99.0)
    record.damaged_at = 100.0
    for second, one in enumerate(damaged, start=101):
        record.add(one, float(second))
    return record


QUIET_1, QUIET_2 = prediction("pump-1", alarm=False), prediction("pump-2", alarm=False)
ALARM_1, ALARM_2 = prediction("pump-1", alarm=True), prediction("pump-2", alarm=True)


def test_the_first_alarm_after_the_damage_is_timed() -> None:
    """Only the failing pump's first alarm counts."""
    record = recorded((QUIET_1, QUIET_2), (QUIET_2, ALARM_2, ALARM_2))
    record.check()
    assert record.healthy == 2
    assert record.seconds_to_alarm == 2.0


@pytest.mark.parametrize(
    ("healthy", "damaged", "code"),
    [
        ((), (ALARM_2,), "E-DEMO-NO-PREDICTION"),
        ((QUIET_1, ALARM_2), (ALARM_2,), "E-DEMO-FALSE-ALARM"),
        ((QUIET_1,), (ALARM_1, ALARM_2), "E-DEMO-FALSE-ALARM"),
        ((QUIET_1,), (QUIET_2,), "E-DEMO-NO-ALARM"),
    ],
)
def test_anything_else_is_a_failure_with_its_own_code(
    healthy: tuple[Prediction, ...], damaged: tuple[Prediction, ...], code: str
) -> None:
    """Silence, a false alarm and a missed fault are told apart."""
    with pytest.raises(EdgeoptError) as caught:
        recorded(healthy, damaged).check()
    assert caught.value.code == code
