"""From evidence to a state, rule by rule."""

from __future__ import annotations

from typing import Any

import evidence
import pytest

from edge_runtime.messaging.outbox.contract import OutboxHealth
from edge_runtime.monitoring.assess import assess
from edge_runtime.monitoring.health import DaemonHealth
from edge_runtime.monitoring.machine import MachineHealth


def with_pipeline(**changes: Any) -> DaemonHealth:
    """Return a daemon whose pipeline is changed."""
    return evidence.daemon(pipelines={"bearing": evidence.pipeline(**changes)})


def test_nothing_wrong_is_ok() -> None:
    """No reason without a fact; what a machine does not say is none."""
    assert assess(evidence.daemon()) == ("ok", ())
    assert assess(evidence.daemon(machine=MachineHealth("a board"))) == ("ok", ())


@pytest.mark.parametrize(
    ("health", "words"),
    [
        (evidence.daemon(hung=("pipeline bearing",)), "pipeline bearing hangs"),
        (evidence.daemon(link=evidence.link(connected=False, last_reason="keep-alive")), "(keep-alive)"),
        (evidence.daemon(refused_subscriptions=("plant/#",)), "read plant/#"),
    ],
    ids=["hung", "no broker", "subscription refused"],
)
def test_what_stops_the_work_is_failing(health: DaemonHealth, words: str) -> None:
    """One reason, which says what to do."""
    state, reasons = assess(health)
    assert state == "failing"
    assert len(reasons) == 1
    assert words in reasons[0]
    assert ": " in reasons[0]


@pytest.mark.parametrize(
    ("health", "words"),
    [
        (evidence.daemon(link=evidence.link(connected=True, duplicate_client=True)), "client id"),
        (evidence.daemon(unclean_starts=3), "3 runs"),
        (evidence.daemon(machine=MachineHealth("a board", clock_synchronised=False)), "clock"),
        (evidence.daemon(machine=MachineHealth("a board", throttling=("under-voltage",))), "under-voltage"),
        (with_pipeline(reading_age_s=301.0, rejected={"not_json": 9}), "301 s, rejected since start: 9 not_json"),
        (with_pipeline(reading_age_s=None), "no usable reading for 3600 s"),
        (with_pipeline(dropped_lately=2, dropped={"queue_full": 5}), "2 lost in the last minute, since start 5"),
        (with_pipeline(outbox=OutboxHealth(fault="No space left on device")), "No space left"),
        (with_pipeline(outbox=OutboxHealth(minutes_left=12.0)), "full in 12 minutes"),
    ],
    ids=["client id", "crashes", "clock", "throttled", "silence", "never a reading", "loss", "disk", "outbox"],
)
def test_a_loss_or_a_risk_is_degraded(health: DaemonHealth, words: str) -> None:
    """One reason, which says what to do."""
    state, reasons = assess(health)
    assert state == "degraded"
    assert len(reasons) == 1
    assert words in reasons[0]
    assert ": " in reasons[0]


def test_the_worst_comes_first_and_nothing_is_left_out() -> None:
    """A failure and two warnings are three reasons, in that order."""
    pipelines = {"bearing": evidence.pipeline(reading_age_s=400.0)}
    state, reasons = assess(evidence.daemon(link=evidence.link(connected=False), unclean_starts=4, pipelines=pipelines))
    assert state == "failing"
    assert [words.split()[0] for words in reasons] == ["no", "4", "bearing:"]


def test_two_crashes_are_not_a_loop_yet() -> None:
    """A power cut or two happen; a full outbox an hour away is not urgent."""
    assert assess(evidence.daemon(unclean_starts=2))[0] == "ok"
    assert assess(with_pipeline(outbox=OutboxHealth(minutes_left=90.0)))[0] == "ok"
