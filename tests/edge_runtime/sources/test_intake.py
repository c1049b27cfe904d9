"""Who gets a message, and when the broker may forget it."""

from __future__ import annotations

import threading

import pytest

from edge_runtime.messaging.message import Message
from edge_runtime.messaging.topics import SourceTopic
from edge_runtime.sources.mqtt import Intake
from edge_runtime.sources.reading_queue import ReadingQueue


def reading(identifier: int, topic: str = "plant/a", **changes: object) -> Message:
    """Return a QoS 1 message with these changes."""
    fields = {"topic": topic, "payload": b"{}", "qos": 1, "retain": False, "dup": False, "mid": identifier}
    return Message(**{**fields, **changes})  # type: ignore[arg-type]


class Scene:
    """An intake with pipelines on the given topics, and a record of what was acknowledged."""

    def __init__(self, *topics: str, size: int = 10) -> None:
        self.acknowledged: list[Message] = []
        self.intake = Intake()
        self.queues = [ReadingQueue(size, "drop_oldest", self.intake.done) for _ in topics]
        takers = list(zip((SourceTopic.parse(topic) for topic in topics), self.queues, strict=True))
        self.intake.open(takers, self.acknowledged.extend)


def test_a_message_is_acknowledged_once_all_pipelines_are_done() -> None:
    """With two pipelines on a topic the first one's end is not enough."""
    scene = Scene("plant/{stream}", "+/{stream}")
    scene.intake.receive([reading(1)])
    taken = [queue.take() for queue in scene.queues]
    assert taken[0] is taken[1] is not None
    scene.intake.done(taken[0])
    assert scene.acknowledged == []
    scene.intake.done(taken[0])
    assert scene.acknowledged == [taken[0]]


def test_what_nobody_asks_for_is_acknowledged_and_counted() -> None:
    """A subscription of an earlier configuration must not fill the broker's window."""
    scene = Scene("plant/{stream}")
    scene.intake.receive([reading(1, "other/a/b")])
    assert len(scene.acknowledged) == scene.intake.unclaimed == 1
    assert len(scene.queues[0]) == 0


def test_retained_readings_are_old_values() -> None:
    """They are acknowledged, counted and not used."""
    scene = Scene("plant/{stream}")
    scene.intake.receive([reading(1, retain=True)])
    assert len(scene.acknowledged) == scene.intake.retained == 1
    assert len(scene.queues[0]) == 0


def test_a_repeat_of_a_waiting_reading_is_neither_used_nor_acknowledged() -> None:
    """Its acknowledgement comes when the first delivery has been processed."""
    scene = Scene("plant/{stream}")
    scene.intake.receive([reading(1)])
    scene.intake.receive([reading(1, dup=True)])
    assert (len(scene.queues[0]), scene.intake.duplicates, scene.acknowledged) == (1, 1, [])


def test_a_repeat_of_a_processed_reading_is_acknowledged_again() -> None:
    """The first acknowledgement got lost, and the broker waits for it."""
    scene = Scene("plant/{stream}")
    scene.intake.receive([reading(1)])
    message = scene.queues[0].take()
    assert message is not None
    scene.intake.done(message)
    scene.intake.receive([reading(1, dup=True)])
    assert (len(scene.queues[0]), scene.intake.duplicates, len(scene.acknowledged)) == (0, 1, 2)


def test_a_closed_intake_leaves_readings_with_the_broker() -> None:
    """While stopping, nothing is taken and nothing acknowledged."""
    scene = Scene("plant/{stream}")
    scene.intake.close()
    scene.intake.receive([reading(1)])
    assert (len(scene.queues[0]), scene.acknowledged) == (0, [])


def test_a_dropped_reading_is_acknowledged() -> None:
    """What a full queue gave up will not be asked for again."""
    scene = Scene("plant/{stream}", size=1)
    scene.intake.receive([reading(1)])
    scene.intake.receive([reading(2)])
    assert [message.mid for message in scene.acknowledged] == [1]


@pytest.mark.parametrize(("policy", "kept", "lost"), [("drop_oldest", [2, 3], [1]), ("drop_newest", [1, 2], [3])])
def test_policies_that_drop(policy: str, kept: list[int], lost: list[int]) -> None:
    """The named one goes, the others stay in order, and the caller is told."""
    dropped: list[Message] = []
    queue = ReadingQueue(2, policy, dropped.append)  # type: ignore[arg-type]
    for identifier in (1, 2, 3):
        queue.put(reading(identifier))
    assert [message.mid for message in dropped] == lost
    assert [queue.take().mid for _ in range(2)] == kept  # type: ignore[union-attr]


def test_the_blocking_policy_waits_for_room_and_for_the_end() -> None:
    """The sender goes on when one was taken; at the end it is let go, and what it held is not taken."""
    dropped: list[Message] = []
    queue = ReadingQueue(1, "block", dropped.append)
    queue.put(reading(1))
    sender = threading.Thread(target=lambda: [queue.put(reading(2)), queue.put(reading(3))])
    sender.start()
    first = queue.take()
    queue.close()
    sender.join(10)
    assert not sender.is_alive()
    rest = []
    while (message := queue.take()) is not None:
        rest.append(message.mid)
    assert first is not None
    assert (first.mid, dropped) == (1, [])
    assert rest in ([], [2])
