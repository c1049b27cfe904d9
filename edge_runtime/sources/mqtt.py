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


class Intake:
    """Hands each message to the pipelines it is for and acknowledges it once all of them are done with it.

    Attributes:
        duplicates: Redelivered messages that were recognised.
        retained: Retained messages that were ignored.
        unclaimed: Messages that no pipeline asked for, from a subscription left over from an earlier configuration.
    """

    def __init__(self) -> None:
        self._acknowledge: Callable[[Sequence[Message]], None] = lambda messages: None
        self._takers: Sequence[tuple[SourceTopic, ReadingQueue]] = ()
        # Packet identifier -> message, pipelines not done with it yet.
        self._pending: dict[int, tuple[Message, int]] = {}
        self._lock = Lock()
        self._seen = RedeliveryGuard()
        self._open = False
        self.duplicates = 0
        self.retained = 0
        self.unclaimed = 0

    def open(
        self, takers: Sequence[tuple[SourceTopic, ReadingQueue]], acknowledge: Callable[[Sequence[Message]], None]
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

    def receive(self, messages: Sequence[Message]) -> None:
        """Take in messages on the network thread."""
        for message in messages:
            if self._open:
                self._receive(message)

    def _receive(self, message: Message) -> None:
        if message.retain:
            # Brokers send retained messages again at every subscription: an old value, not a new reading.
            self.retained += 1
            self._acknowledge([message])
        elif self._seen.is_repeat(message):
            self.duplicates += 1
            with self._lock:
                if message.mid not in self._pending:
                    self._acknowledge([message])
        else:
            self._hand_out(message)

    def done(self, message: Message) -> None:
        """Note that one pipeline needs a message no more; callable from any thread."""
        if message.qos == 0:
            return
        with self._lock:
            pending, left = self._pending.get(message.mid, (None, 0))
            if pending is not message:
                return  # a broker that forgot this session has given the identifier to another message
            if left > 1:
                self._pending[message.mid] = (message, left - 1)
            else:
                del self._pending[message.mid]
                self._acknowledge([message])

    def _hand_out(self, message: Message) -> None:
        queues = [queue for topic, queue in self._takers if topic.matches(message.topic)]
        if not queues:
            self.unclaimed += 1
            self._acknowledge([message])
            return
        if message.qos:
            with self._lock:
                self._pending[message.mid] = (message, len(queues))
        for queue in queues:
            queue.put(message)


class RedeliveryGuard:
    """Recognises a QoS 1 message that the broker delivers again because an acknowledgement got lost.

    After a reconnect the broker repeats what it holds unacknowledged with the DUP flag and the same packet
    identifier (MQTT 3.1.1 section 4.4). Only messages with that flag can be repeats.
    """

    def __init__(self) -> None:
        # A broker may have as many messages in flight as there are identifiers: the latest of each is remembered.
        self._latest = array("Q", bytes(8 * _PACKET_IDENTIFIERS))

    def is_repeat(self, message: Message) -> bool:
        """Tell whether this very message came before, and remember it."""
        if message.qos == 0:
            return False
        fingerprint = hash((message.topic, message.payload)) & _HASH_BITS
        repeat = message.dup and self._latest[message.mid] == fingerprint
        self._latest[message.mid] = fingerprint
        return repeat
