"""Outboxes as the daemon has them: one in memory, those on disk with their thread, acknowledgements, lanes, health."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge_runtime.config_options import BrokerConfig, Config, Node, PipelineConfig, Source
from edge_runtime.delivery_options import DeliveryConfig, OutboxConfig
from edge_runtime.messaging.message import Outgoing
from edge_runtime.messaging.outbox.acknowledgement import Ack, acks_in
from edge_runtime.messaging.outbox.backlog import Allowance, historical
from edge_runtime.messaging.outbox.build import Outboxes
from edge_runtime.messaging.outbox.contract import Entry
from edge_runtime.messaging.outbox.memory import MemoryOutbox
from edge_runtime.messaging.outbox.row import Gap, gaps_of


def config(**modes: DeliveryConfig) -> Config:
    """Return a configuration of pipelines by name."""
    pipelines = tuple(
        PipelineConfig(name=name, package="-", source=Source(topic="x/{stream}"), delivery=delivery)
        for name, delivery in modes.items()
    )
    return Config(1, Node("n"), BrokerConfig("mqtt://h"), pipelines, outbox=OutboxConfig(commit_after="1ms"))


def entries(first: int, count: int, boot: str = "b") -> list[Entry]:
    """Return predictions of one stream."""
    said = ({"stream": "s", "boot": boot, "seq": n} for n in range(first, first + count))
    return [Entry("s", one["seq"], "t/s", json.dumps(one).encode()) for one in said]  # type: ignore[arg-type]


def sequences(taken: Sequence[Outgoing]) -> list[int]:
    """Return what was taken."""
    return [json.loads(one.payload)["seq"] for one in taken]


class Run:
    """One run of the outboxes, until `close`."""

    def __init__(self, folder: Path, boot: str, **modes: DeliveryConfig) -> None:
        self.woken = threading.Event()
        self.gaps: list[Gap] = []
        self.all = Outboxes(config(**modes), folder, boot, wake=self.woken.set, on_gap=self.gaps.extend)

    def put(self, name: str, some: list[Entry]) -> threading.Event:
        """Put entries; the event is set once they are released."""
        released = threading.Event()
        self.all.of[name].put(some, released.set)
        return released


def test_best_effort_releases_at_once_and_lets_the_oldest_go() -> None:
    """Two bounds, one reason, and QoS 0."""
    released = []
    outbox = MemoryOutbox(lambda: None, most_entries=3, most_bytes=1 << 20)
    outbox.put(entries(1, 5), lambda: released.append(True))
    taken = outbox.take(2)
    assert (sequences(taken), {one.qos for one in taken}, released) == ([3, 4], {0}, [True])
    outbox.settle([one.ticket for one in taken])
    health = outbox.health()
    assert (health.accepted, health.delivered, health.waiting, health.dropped) == (5, 2, 1, {"memory_full": 2})
    tight = MemoryOutbox(lambda: None, most_entries=100, most_bytes=700)
    tight.put(entries(1, 5), lambda: None)
    assert sequences(tight.take(10)) == [4, 5]


def test_what_the_broker_takes_at_once_never_reaches_the_disk(tmp_path: Path) -> None:
    """Settled before the deadline: released by the acknowledgement, no transaction."""
    run = Run(tmp_path, "b1", p=DeliveryConfig())
    released = run.put("p", entries(1, 20))
    outbox = run.all.of["p"]
    outbox.settle([one.ticket for one in outbox.take(50)])
    run.all.start()
    assert released.is_set()
    assert run.all.close(10.0)
    health = outbox.health()
    assert (health.delivered, health.commits, health.written_bytes) == (20, 0, 0)


def test_what_is_not_taken_is_stored_released_and_comes_after_a_restart(tmp_path: Path) -> None:
    """Marked historical, in order, and gone for good once the broker has it."""
    run = Run(tmp_path, "b1", p=DeliveryConfig())
    run.all.start()
    assert run.put("p", entries(1, 20)).wait(10.0)
    assert run.all.close(10.0)
    again = Run(tmp_path, "b2", p=DeliveryConfig(replay_rate=100_000))
    outbox = again.all.of["p"]
    assert outbox.health().stored == 20
    again.all.start()
    taken: list[Outgoing] = []
    while len(taken) < 20:
        assert again.woken.wait(10.0)
        taken += outbox.take(100)
    assert sequences(taken) == list(range(1, 21))
    assert all(json.loads(one.payload)["historical"] for one in taken)
    outbox.settle([one.ticket for one in taken])
    assert again.all.close(10.0)
    assert Run(tmp_path, "b3", p=DeliveryConfig()).all.of["p"].health().accepted == 0


@pytest.mark.parametrize(("replay", "order"), [("in_order", [1, 2, 3, 4]), ("live_first", [3, 4, 1, 2])])
def test_live_predictions_overtake_or_queue_up(replay: str, order: list[int], tmp_path: Path) -> None:
    """As `replay` says, where two wait from an earlier run and two are new."""
    delivery = DeliveryConfig(replay=replay)  # type: ignore[arg-type]
    run = Run(tmp_path, "b", p=delivery)
    run.put("p", entries(1, 2))
    assert run.all.close(10.0)
    again = Run(tmp_path, "b", p=delivery)
    again.all.start()
    outbox, taken = again.all.of["p"], list[Outgoing]()
    again.woken.wait(10.0)
    again.put("p", entries(3, 2))
    while len(taken) < 4:
        taken += outbox.take(100)
    assert sequences(taken) == order
    assert again.all.close(10.0)


def test_what_a_pipeline_left_is_delivered_when_it_is_configured_no_more(tmp_path: Path) -> None:
    """Its rows have a supply of their own."""
    run = Run(tmp_path, "b1", old=DeliveryConfig())
    run.put("old", entries(1, 3))
    assert run.all.close(10.0)
    again = Run(tmp_path, "b2", new=DeliveryConfig(mode="best_effort"))
    assert len(again.all.supplies) == 2
    assert again.all.close(10.0)


def test_only_what_the_subscriber_has_leaves_end_to_end(tmp_path: Path) -> None:
    """The broker's acknowledgement changes nothing, and one for numbers never sent neither."""
    run = Run(tmp_path, "b", p=DeliveryConfig(mode="end_to_end"))
    outbox = run.all.of["p"]
    run.put("p", entries(1, 4))
    outbox.settle([one.ticket for one in outbox.take(2)])
    assert outbox.health().delivered == 0
    ack = (
        b'{"acks":[{"pipeline":"p","stream":"s","boot":"b","seq":1},{"pipeline":"?","stream":"s","boot":"b","seq":9}]}'
    )
    assert run.all.acknowledge(ack)
    assert outbox.health().delivered == 1
    assert run.all.acknowledge(ack.replace(b'"seq":1', b'"seq":99'))
    assert outbox.health().delivered == 2
    assert run.all.close(10.0)


@pytest.mark.parametrize("payload", [b"", b"\xff\xfe", b"{}", b'{"acks":[{"pipeline":"p"}]}', b"[1]"])
def test_what_is_no_acknowledgement_is_told_apart(payload: bytes) -> None:
    """Anybody may write on a topic."""
    assert acks_in(payload) is None
    assert acks_in(b'{"acks":[{"pipeline":"p","stream":"s","boot":"b","seq":1}]}') == [Ack("p", "s", "b", 1)]


def test_marks_go_into_any_json_object() -> None:
    """Also into an empty one."""
    assert json.loads(historical(b' {"a":1}', 4)) == {"historical": True, "after": 4, "a": 1}
    assert json.loads(historical(b"{}", 0)) == {"historical": True, "after": 0}


def test_gaps_are_joined_where_nothing_lies_between() -> None:
    """One gap for neighbours, another for another stream or run."""
    lost = [("s", "b", 1), ("s", "b", 2), ("s", "b", 4), ("s", "c", 5), ("t", "b", 3)]
    found = [(gap.stream, gap.boot, gap.first, gap.last) for gap in gaps_of("p", lost, "bound_oldest")]
    assert found == [("s", "b", 1, 2), ("s", "b", 4, 4), ("s", "c", 5, 5), ("t", "b", 3, 3)]


def test_the_backlog_drains_at_ten_times_the_live_rate_unless_told_otherwise() -> None:
    """Measured over a hundred seconds that are told, 100 live entries a second."""
    automatic, fixed = Allowance(0, 0.0), Allowance(50, 0.0)
    sent = {"automatic": 0, "fixed": 0}
    for tick in range(1, 2001):
        now = tick * 0.05
        automatic.live(5, now)
        sent["automatic"] += automatic.take(10_000, now)
        sent["fixed"] += fixed.take(10_000, now)
    assert sent["automatic"] == pytest.approx(100_000, rel=0.1)
    assert sent["fixed"] == pytest.approx(5_000, rel=0.01)
