"""MQTT messages in: who gets them, each once, and when the broker may forget them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from threading import Lock

from edge_runtime.messaging.message import Message
from edge_runtime.messaging.topics import SourceTopic
from edge_runtime.sources.reading_queue import ReadingQueue

_PACKET_IDENTIFIERS = 1 << 16
_HASH_BITS = (1 << 64) - 1
_MOST_TOPICS = 100_000


class Intake:
    """Hands messages to the pipelines they are for and acknowledges each once all of them are done with it.

    Attributes:
        duplicates: Redelivered messages that were recognised.
        retained: Retained messages that were ignored.
        unclaimed: Messages that no pipeline asked for, from a subscription left over from an earlier configuration.
    """

    def __init__(self) -> None:
        self._acknowledge: Callable[[Sequence[Message]], None] = lambda messages: None
        self._takers: Sequence[tuple[SourceTopic, ReadingQueue]] = ()
        self._queues: dict[str, tuple[ReadingQueue, ...]] = {}  # topic -> who takes it
        # Packet identifier -> message, pipelines not done with it yet.
        self._pending: dict[int, tuple[Message, int]] = {}
        self._lock = Lock()
        self._seen = RedeliveryGuard()
        self._open = False
        self.duplicates = 0
        self.retained = 0
        self.unclaimed = 0

    def open(
        self,
        takers: Sequence[tuple[SourceTopic, ReadingQueue]],
        acknowledge: Callable[[Sequence[Message]], None],
    ) -> None:
        """Begin to hand messages out; before, they stay unacknowledged with the broker.

        Args:
            takers: Pairs of a topic and the queue its messages go to.
            acknowledge: Tells the broker that messages need not come again.
        """
        self._takers, self._acknowledge = takers, acknowledge
        self._open = True

    def close(self) -> None:
        """Hand nothing out any more; what comes now stays unacknowledged with the broker."""
        self._open = False

    @property
    def may_read(self) -> bool:
        """Tell whether more messages should be read from the network now."""
        return not any(queue.holds_back for _, queue in self._takers)

    def receive(self, messages: Sequence[Message]) -> None:
        """Take in what was read at once, on the network thread."""
        if not self._open:
            return
        batches: dict[ReadingQueue, list[Message]] = {}
        finished: list[Message] = []
        with self._lock:
            for message in messages:
                queues = self._queues_for(message, finished)
                if message.qos and queues:
                    self._pending[message.mid] = (message, len(queues))
                for queue in queues:
                    batch = batches.get(queue)
                    if batch is None:
                        batch = batches[queue] = []
                    batch.append(message)
        for queue, batch in batches.items():
            queue.put(batch)
        if finished:
            self._acknowledge(finished)

    def done(self, messages: Sequence[Message]) -> None:
        """Note that one pipeline needs these messages no more; callable from any thread."""
        finished, waiting = [], self._pending
        with self._lock:
            for message in messages:
                found = waiting.get(message.mid) if message.qos else None
                if found is None or found[0] is not message:
                    continue  # a broker that forgot this session has given the identifier to another message
                if found[1] > 1:
                    waiting[message.mid] = (message, found[1] - 1)
                else:
                    del waiting[message.mid]
                    finished.append(message)
        if finished:
            self._acknowledge(finished)

    def _queues_for(self, message: Message, finished: list[Message]) -> tuple[ReadingQueue, ...]:
        """Return who takes a message; one that nobody takes is counted, and finished unless it is still in work.

        To be called under the lock.
        """
        if message.retain:
            # Brokers send retained messages again at every subscription: an old value, not a new reading.
            self.retained += 1
        elif message.qos and self._seen.is_repeat(message):
            self.duplicates += 1
            if message.mid in self._pending:
                return ()
        else:
            queues = self._queues.get(message.topic)
            if queues is None:
                queues = self._match(message.topic)
            if queues:
                return queues
            self.unclaimed += 1
        finished.append(message)
        return ()

    def _match(self, topic: str) -> tuple[ReadingQueue, ...]:
        """Return and remember who takes a topic."""
        if len(self._queues) >= _MOST_TOPICS:
            self._queues.clear()  # topics that somebody makes up must not fill the memory
        found = tuple(queue for wanted, queue in self._takers if wanted.matches(topic))
        self._queues[topic] = found
        return found


class RedeliveryGuard:
    """Recognises a QoS 1 message that the broker delivers again because an acknowledgement got lost.

    After a reconnect the broker repeats what it holds unacknowledged with the DUP flag and the same packet
    identifier (MQTT 3.1.1 section 4.4). Only messages with that flag can be repeats.
    """

    def __init__(self) -> None:
        # A broker may have as many messages in flight as there are identifiers: the latest of each is remembered, in
        # 512 KiB, which a daemon that reads at QoS 0 only never takes.
        self._latest = array("Q")

    def is_repeat(self, message: Message) -> bool:
        """Tell whether this very message of QoS 1 came before, and remember it."""
        latest, identifier = self._latest, message.mid
        if not latest:
            latest.frombytes(bytes(8 * _PACKET_IDENTIFIERS))
        fingerprint = hash((message.topic, message.payload)) & _HASH_BITS
        repeat = message.dup and latest[identifier] == fingerprint
        latest[identifier] = fingerprint
        return repeat
