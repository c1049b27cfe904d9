"""Who gets a message, and when the broker may forget it."""

from __future__ import annotations

import pytest

from edge_runtime.messaging.message import Message
from edge_runtime.messaging.topics import SourceTopic
from edge_runtime.sources import mqtt
from edge_runtime.sources.mqtt import Intake
from edge_runtime.sources.reading_queue import Policy, ReadingQueue


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
    first, second = (queue.take(10) or [] for queue in scene.queues)
    assert first[0] is second[0]
    scene.intake.done(first)
    assert scene.acknowledged == []
    scene.intake.done(second)
    assert scene.acknowledged == first


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
    scene.intake.done(scene.queues[0].take(10) or [])
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


@pytest.mark.parametrize(("policy", "kept", "lost"), [("drop_oldest", [3, 4], [1, 2]), ("drop_newest", [1, 2], [3, 4])])
@pytest.mark.parametrize("together", [True, False])
def test_policies_that_drop(policy: Policy, kept: list[int], lost: list[int], together: bool) -> None:
    """The named ones go, the others stay in order, and the caller is told; one by one or all at once."""
    dropped: list[Message] = []
    queue = ReadingQueue(2, policy, dropped.extend)
    messages = [reading(identifier) for identifier in (1, 2, 3, 4)]
    for batch in [messages] if together else [[message] for message in messages]:
        queue.put(batch)
    assert [message.mid for message in dropped] == lost
    assert [message.mid for message in queue.take(10) or []] == kept


def test_the_blocking_policy_holds_back_and_says_when_there_is_room() -> None:
    """What was read already is kept; reading goes on once the worker has taken enough."""
    rooms: list[int] = []
    scene = Scene("plant/{stream}")
    queue = ReadingQueue(2, "block", lambda messages: None, lambda: rooms.append(1))
    scene.intake.open([(SourceTopic.parse("plant/{stream}"), queue)], scene.acknowledged.extend)
    assert scene.intake.may_read
    scene.intake.receive([reading(identifier) for identifier in (1, 2, 3)])
    assert not scene.intake.may_read
    assert [message.mid for message in queue.take(1) or []] == [1]
    assert (scene.intake.may_read, rooms) == (False, [])
    assert [message.mid for message in queue.take(1) or []] == [2]
    assert (scene.intake.may_read, rooms) == (True, [1])


def test_taking_waits_no_longer_than_it_should() -> None:
    """Without a message the patience ends with nothing; with some, the linger ends with those; the end is told."""
    queue = ReadingQueue(10, "block", lambda messages: None)
    assert queue.take(5, patience=0.0) == []
    queue.put([reading(1), reading(2)])
    assert [message.mid for message in queue.take(5, linger=0.01) or []] == [1, 2]
    queue.put([reading(3)])
    queue.close()
    queue.put([reading(4)])
    assert [message.mid for message in queue.take(5) or []] == [3]
    assert queue.take(5) is None


def test_topics_that_somebody_makes_up_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of who takes a topic is bounded, and stays right after it was emptied."""
    monkeypatch.setattr(mqtt, "_MOST_TOPICS", 3)
    scene = Scene("plant/{stream}")
    for number in range(10):
        scene.intake.receive([reading(number + 1, f"plant/{number}"), reading(100 + number, f"other/{number}/b")])
    assert len(scene.queues[0]) == scene.intake.unclaimed == 10
    assert len(scene.intake._queues) <= 3
