"""One MQTT connection that comes back by itself, and tells what it lost."""

from __future__ import annotations

import logging
import math
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from edge_runtime.errors import EnvironmentFault
from edge_runtime.messaging.bell import Bell
from edge_runtime.messaging.broker import Broker, is_answering, no_connection, rejected
from edge_runtime.messaging.link_health import LinkHealth, LinkRecord
from edge_runtime.messaging.message import Message, Outgoing, Supply
from edge_runtime.messaging.own_publishes import OwnPublishes
from edge_runtime.messaging.pace import Pace
from edge_runtime.messaging.reconnects import Reconnects
from edge_runtime.messaging.wire import (
    ANSWER_SECONDS,
    UNSUPPORTED_VERSION,
    Loss,
    ProtocolVersion,
    Session,
    Will,
    Wire,
)
from edge_runtime.messaging.wire_choice import fault_of_split, make_wire

__all__ = ["Connection", "LinkHealth", "Message", "Session", "Will"]

log = logging.getLogger(__name__)

_GATHER_SECONDS = 0.0005
_KEPT_FREE = 4  # of the window, for messages that say how things are when the broker acknowledges nothing else
_OLD_VERSION_ANSWER = 0x01  # of brokers that know MQTT 3.1.1 only (its table 3.1)


class Connection:
    """One connection with its own network thread: one loop over the socket, a bell and timers.

    Args:
        broker: Where to connect.
        session: What to be there.
        on_messages: Called on the network thread with all messages that came in one turn; it must return at once.
            Messages of QoS 1 and 2 are acknowledged by `acknowledge` only.
        on_connected: Called on the network thread after every successful connect, subscriptions renewed.
        supplies: Where messages to send are taken from, in turn; this connection's own messages go first.
        may_read: Asked before every read. While it says no, the broker is held back by TCP; `wake` asks again.

    Attributes:
        turns: How often the network thread's loop has turned: after `wake` it soon does, if it lives.
    """

    def __init__(
        self,
        broker: Broker,
        session: Session,
        *,
        on_messages: Callable[[Sequence[Message]], None] = lambda messages: None,
        on_connected: Callable[[], None] = lambda: None,
        supplies: Sequence[Supply] = (),
        may_read: Callable[[], bool] = lambda: True,
    ) -> None:
        self._broker, self._session = broker, session
        self._on_messages, self._on_connected, self._may_read = on_messages, on_connected, may_read
        self._own = OwnPublishes()
        orders = [(*supplies[first:], *supplies[:first]) for first in range(len(supplies))]
        self._orders: deque[tuple[Supply, ...]] = deque(orders or [()])
        self._acknowledged: deque[Message] = deque()
        self._protocol: ProtocolVersion = "3.1.1" if session.protocol == "3.1.1" else "5"
        self._wire: Wire = make_wire(broker, session, self._protocol)
        self._reconnects = Reconnects(session.reconnect_max_seconds)
        self._record = LinkRecord()
        self._pace = Pace()
        self._bell = Bell()
        self._poll = select.poll()
        self._watched = (-1, 0)  # descriptor, events
        self._connected = self._stopping = self._again = False
        self._thread: threading.Thread | None = None
        self._network_thread = 0
        self._at_wire = threading.Lock()  # held by the network thread except while it waits
        self.turns = 0

    @property
    def connected(self) -> bool:
        """Tell whether the broker has accepted this client and the link is not known to be broken."""
        return self._connected

    @property
    def refused_subscriptions(self) -> tuple[str, ...]:
        """Return the topic filters that the broker did not grant at the latest connect."""
        return self._wire.refused

    def start(self) -> None:
        """Connect for the first time; afterwards the network thread reconnects by itself. May be tried again.

        Raises:
            EnvironmentFault: E-BROKER-UNREACHABLE, E-BROKER-REFUSED, E-BROKER-AUTH or E-BROKER-REJECTED.
        """
        self._stopping = False
        first: SimpleQueue[EnvironmentFault | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, args=(first,), name="network", daemon=True)
        self._thread.start()
        fault = first.get()
        if fault is not None:
            self._thread.join()
            raise fault

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> bool:
        """Hand over a message; False where it was refused: too many bytes wait, or QoS 0 without a connection.

        Messages keep their order. QoS 1 messages outlive a lost connection, and are repeated after the next one where
        the broker may not have got them. They do not outlive this process.
        """
        if qos == 0 and not self._connected:
            return False
        taken = self._own.add(Outgoing(topic, payload, qos, retain))
        self.wake()
        return taken

    def publish_state(self, topic: str, payload: bytes) -> None:
        """Hand over a message that says how things are, retained and at QoS 1.

        It goes before all that waits, however much that is, and replaces an older one that still waits.
        """
        self._own.add_state(topic, payload)
        self.wake()

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Tell the broker that messages need not be delivered again; callable from any thread.

        QoS 0 has nothing to tell. Without a connection nothing is told, and nothing of a message that came on an
        earlier one and not yet again: the broker delivers it again anyway, and may by now mean another message by its
        identifier.
        """
        if self._connected:
            self._acknowledged.extend([message for message in messages if message.qos])
            self.offer()

    def wake(self) -> None:
        """Let the network thread turn; callable from any thread, at next to no cost if done often."""
        if threading.get_ident() != self._network_thread:
            self._bell.ring()

    def offer(self) -> None:
        """Say that a supply has something; callable from any thread.

        While the network thread waits, the caller sends himself, which spares two changes of threads; whatever he
        cannot finish without waiting is left to the network thread.
        """
        if not self._connected or threading.get_ident() == self._network_thread:
            return  # it looks by itself once it is connected, and before it waits
        is_done = False
        if self._at_wire.acquire(blocking=False):
            try:
                if self._connected and self._wire.loss is None:
                    self._send()
                    is_done = not (self._again or self._wire.wants_write() or self._wire.loss is not None)
            finally:
                self._at_wire.release()
        if not is_done:
            self._bell.ring()

    def unacknowledged(self) -> int:
        """Return how many publishes are not sent (QoS 0) or not acknowledged by the broker (QoS 1) yet.

        What waits in a supply of somebody else's is not counted before it was taken.
        """
        return len(self._own) + self._others_in_flight()

    def flush(self, timeout: float) -> bool:
        """Wait until every publish is sent or acknowledged; False where time ran out."""
        return self._own.wait_until_settled(timeout, self._others_in_flight)

    def stop(self) -> None:
        """Say goodbye, so that no will is published, and end the network thread."""
        self._stopping = True
        self._bell.ring()
        if self._thread is not None:
            self._thread.join()

    def health(self) -> LinkHealth:
        """Return how the link is and what has become of it since the start; callable from any thread."""
        wire, record = self._wire, self._record
        return LinkHealth(
            connected=self._connected,
            wire=wire.kind,
            wire_fault=fault_of_split() if wire.kind == "paho" else None,
            protocol=self._protocol,
            connects=record.connects,
            disconnects=record.disconnects,
            last_reason=record.last_reason,
            refused=record.refused,
            in_flight=wire.in_flight(),
            repeated=wire.repeated,
            unsent=wire.unsent,
            rejected=dict(wire.rejected),
            faults=dict(record.faults),
            duplicate_client=self._reconnects.duplicate_client,
        )

    def _others_in_flight(self) -> int:
        return max(self._wire.in_flight() - self._own.taken, 0)

    def _work(self, first: SimpleQueue[EnvironmentFault | None]) -> None:
        """Be the network thread: report how the first attempt went, then keep the connection until `stop`."""
        self._network_thread = threading.get_ident()
        self._at_wire.acquire()
        try:
            fault = self._connect()
            first.put(fault)
            if fault is not None:
                return
            while not self._stopping:
                self._wait(self._serve() if fault is None else self._pause_after(fault))
                fault = None if self._stopping else self._connect()
            self._wire.close(goodbye=True)
        finally:  # also after an error nobody foresaw: then the broker publishes the will, and `start` does not hang
            self._connected = False
            self._network_thread = 0
            self._wire.close(goodbye=False)
            self._at_wire.release()
            first.put(rejected(self._broker, None))

    def _connect(self) -> EnvironmentFault | None:
        """Connect once; return what came of it, None where the broker accepted."""
        fault = self._try_connect()
        answer = self._wire.answer
        undecided = self._session.protocol == "auto" and self._protocol == "5" and not self._record.connects
        no_answer = answer is None and self._wire.loss is not None
        if fault is not None and undecided and (no_answer or _is_about_version(self._wire)):
            log.warning("the broker %s does not speak MQTT 5: this client falls back to 3.1.1", self._broker)
            self._protocol = "3.1.1"
            self._wire = make_wire(self._broker, self._session, "3.1.1")
            fault = self._try_connect()
            if fault is not None:  # so it was not the version
                self._protocol = "5"
                self._wire = make_wire(self._broker, self._session, "5")
        return fault

    def _try_connect(self) -> EnvironmentFault | None:
        wire = self._wire
        try:
            wire.open()
        except OSError as error:
            return no_connection(self._broker, error)
        self._poll = select.poll()
        self._poll.register(self._bell, select.POLLIN)
        self._watched = (-1, 0)
        end = time.monotonic() + ANSWER_SECONDS
        while wire.answer is None and wire.loss is None and time.monotonic() < end and not self._stopping:
            self._turn()
        answer = wire.answer
        if answer is not None and answer.accepted:
            return None
        wire.close(goodbye=False)
        self._record.count_fault(wire.loss)
        return rejected(self._broker, answer.words if answer is not None else None)

    def _serve(self) -> float:
        """Work until the connection ends; return how long to wait before the next attempt."""
        wire, begin = self._wire, time.monotonic()
        while wire.loss is None and not self._stopping:
            self._turn()
        self._connected = False
        if wire.loss is None:
            return 0.0
        loss = wire.loss
        wire.close(goodbye=False)
        self._record.lost(loss)
        knew = self._reconnects.duplicate_client
        lived = time.monotonic() - begin
        is_there = not self._reconnects.would_suspect(loss, lived) or is_answering(self._broker)
        pause = self._reconnects.after_loss(loss, lived, broker_is_there=is_there)
        log.warning("the connection to %s was lost: %s; next try in %.1f s", self._broker, loss.words, pause)
        if self._reconnects.duplicate_client and not knew:
            self._say_duplicate(loss)
        return pause

    def _turn(self) -> None:
        """Wait for something to do and do all of it."""
        self.turns += 1
        wire, reads = self._wire, self._may_read()
        if not reads:
            wire.held_back(time.monotonic())
        patience = wire.tick(time.monotonic())
        if wire.loss is not None:
            return
        messages = self._read(wire, patience) if reads else self._rest(wire, patience)
        if not self._connected and wire.answer is not None and wire.answer.accepted:
            self._came_up()
        if messages:
            self._on_messages(messages)
        if wire.loss is None:
            self._send()

    def _read(self, wire: Wire, patience: float) -> list[Message]:
        """Wait until there is something to read, to write or to look after, and return what was read."""
        self._watch(wire, select.POLLIN)
        if self._wait_for_events(0.0 if self._again or wire.has_more() else patience) or wire.has_more():
            if self._pace.is_busy:
                self._gather()
            messages = wire.drain()
            self._pace.count(len(messages), time.monotonic())
            return messages
        return []

    def _gather(self) -> None:
        """Let more come in before reading: under load most of a message's cost is that of waking threads for it."""
        self._at_wire.release()
        time.sleep(_GATHER_SECONDS)
        self._at_wire.acquire()

    def _rest(self, wire: Wire, patience: float) -> list[Message]:
        """Wait likewise, and leave what could be read where it is, unless the connection has ended."""
        self._watch(wire, 0)
        ended = self._wait_for_events(0.0 if self._again else patience) & (select.POLLERR | select.POLLHUP)
        return wire.drain() if ended else []

    def _wait_for_events(self, patience: float) -> int:
        """Wait for the bell or the wire, at most so many seconds; return the wire's events, 0 where there are none."""
        self._at_wire.release()
        try:
            events = self._poll.poll(math.ceil(patience * 1000))
        finally:
            self._at_wire.acquire()
        found = dict(events)
        if found.pop(self._bell.fileno(), 0):
            self._bell.silence()
        return next(iter(found.values()), 0)

    def _watch(self, wire: Wire, read: int) -> None:
        wanted = (wire.fileno(), read | (select.POLLOUT if wire.wants_write() else 0))
        if wanted != self._watched:
            self._poll.register(*wanted)
            self._watched = wanted

    def _send(self) -> None:
        """Send acknowledgements, then as much of the supplies as there is room for."""
        wire = self._wire
        if self._acknowledged:
            wire.acknowledge([self._acknowledged.popleft() for _ in range(len(self._acknowledged))])
        while (room := wire.room()) > 0 and (own := self._own.take(room)):
            wire.send(own, self._own)
        kept_free = min(_KEPT_FREE, wire.window // 4)
        full = wire.room() <= kept_free
        if not full:
            for supply in self._orders[0]:
                while (room := wire.room() - kept_free) > 0 and (batch := supply.take(room)):
                    wire.send(batch, supply)
                full = full or room <= 0
            self._orders.rotate(-1)  # only after a real turn, or who wakes this thread would choose who is next
        wire.flush()
        self._again = full and wire.room() > kept_free

    def _came_up(self) -> None:
        self._acknowledged.clear()
        self._connected = True
        self._record.up()
        self._on_connected()

    def _pause_after(self, fault: EnvironmentFault) -> float:
        """Return the pause after a failed attempt to reconnect, and say the first of a row."""
        answer = self._wire.answer
        pause = self._reconnects.after_failure() if answer is None else self._reconnects.after_refusal()
        level = logging.DEBUG if self._record.failing else logging.WARNING
        log.log(level, "%s; next try in %.1f s", fault.message, pause)
        self._record.failed(fault.message, None if answer is None else answer.words)
        return pause

    def _say_duplicate(self, loss: Loss) -> None:
        sure = "is" if loss.taken_over else "seems to be"
        log.error(
            "there %s another client with the identifier %r at %s: give each its own; trying again slowly",
            *(sure, self._session.client_id, self._broker),
        )

    def _wait(self, pause: float) -> None:
        """Wait so long, or until `stop`."""
        end = time.monotonic() + pause
        self._at_wire.release()
        try:
            while not self._stopping and (left := end - time.monotonic()) > 0:
                if select.select([self._bell], [], [], left)[0]:
                    self._bell.silence()
        finally:
            self._at_wire.acquire()


def _is_about_version(wire: Wire) -> bool:
    return wire.answer is not None and wire.answer.code in {UNSUPPORTED_VERSION, _OLD_VERSION_ANSWER}
