"""The fast wire: paho keeps the dialogue, while messages and their acknowledgements pass it by.

Per message, paho spends several system calls and a hundred Python calls; here a whole turn of the loop shares two
system calls. docs/decisions/0006-mqtt-wire.md has the figures.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Literal

from edge_runtime.messaging.broker import Broker
from edge_runtime.messaging.message import Message, Outgoing, Supply
from edge_runtime.messaging.packets import FIRST_ID, IDS, Encoder, Split, Splitter, puback
from edge_runtime.messaging.paho_wire import DISCONNECT_TYPE, SILENCES, SILENT, PahoWire, reason_name, settle
from edge_runtime.messaging.split_socket import SplitSocket, tune
from edge_runtime.messaging.wire import Loss, ProtocolVersion, Session

_MOST_UNSENT = 256 << 10  # bytes written ahead of the network; what waits beyond stays with its supply
_LEAST_SILENCE = 1.0  # seconds after a keepalive in which its answer may come, however short the keepalive
_GOODBYE_SECONDS = 1.0  # for what waits and DISCONNECT to leave
_FIRST_REFUSAL = 0x80  # PUBACK of MQTT 5: from this reason code on the broker does not have the message
_PINGREQ = b"\xc0\x00"


class SplitWire(PahoWire):
    """A wire that sends and receives QoS 0 and 1 itself; see `wire.Wire`."""

    kind: Literal["split", "paho"] = "split"

    def __init__(self, broker: Broker, session: Session, protocol: ProtocolVersion) -> None:
        super().__init__(broker, session, protocol, self._make_socket)
        self._socket: SplitSocket | None = None
        self._encoder = Encoder(with_properties=protocol == "5")
        self._in_flight: dict[int, tuple[Supply, Outgoing]] = {}  # in the order in which they were sent
        self._to_repeat: deque[int] = deque()
        self._identifier = FIRST_ID
        self._written: deque[tuple[int, Supply, list[int]]] = deque()  # QoS 0: settled once so many bytes are out
        self._ping_after, self._pinged_at = float(broker.keepalive_seconds), 0.0

    def open(self) -> None:
        """Connect and send CONNECT."""
        super().open()
        self._link().flush()

    def wants_write(self) -> bool:
        """Tell whether bytes wait for the network."""
        return self._link().wants_write

    def has_more(self) -> bool:
        """Tell whether the latest read ended before the bytes did."""
        return self._link().more

    def drain(self) -> list[Message]:
        """Read all there is; paho gets its packets first, since CONNACK comes before all messages."""
        link = self._link()
        split = link.read()
        while link.holds_for_paho() and self.loss is None:
            self._let_paho_read()
        if self._client.want_write():
            self._client.loop_write()  # SUBSCRIBE goes before anything that says that we are here
        messages = split.messages
        if messages and (self.answer is None or not self.answer.accepted):
            self.loss = Loss(
                "the broker sent messages before it accepted the connection", by_peer=True, kind="no CONNACK"
            )
            return []
        self._owed.update([message.mid for message in messages if message.qos])
        if split.acknowledged:
            self._settle_acknowledged(split)
        if self._received:  # QoS 2, which paho has brought to its end
            messages = messages + self._received
            self._received = []
        return messages

    def room(self) -> int:
        """Return how many messages fit into the window, 0 while the network does not take what waits."""
        if self.answer is None or not self.answer.accepted or self._to_repeat or not self._link().room:
            return 0
        return max(self.window - len(self._in_flight), 0)

    def send(self, batch: Sequence[Outgoing], supply: Supply) -> None:
        """Encode messages into the buffer, all in one piece."""
        numbered, unconfirmed = [], []
        for message in batch:
            if message.qos:
                identifier = self._next_identifier()
                self._in_flight[identifier] = (supply, message)
                numbered.append((identifier, message))
            else:
                unconfirmed.append(message.ticket)
                numbered.append((0, message))
        link = self._link()
        link.write(self._encoder.publish(numbered))
        if unconfirmed:
            self._written.append((link.queued, supply, unconfirmed))

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Send acknowledgements of messages that came on this connection; QoS 2 is paho's."""
        owed, due = self._owed, []
        for message in messages:
            if message.qos and message.mid in owed:
                owed.remove(message.mid)
                if message.qos == 1:
                    due.append(message.mid)
                else:
                    self._client.ack(message.mid, message.qos)
        if due:
            self._link().write(puback(due))

    def flush(self) -> None:
        """Write what waits in as few calls as the network allows."""
        link = self._link()
        self._repeat()
        if self._client.want_write():
            self._client.loop_write()  # the buffer was full when paho had something to say
        link.flush()
        while self._written and self._written[0][0] <= link.written:
            _, supply, tickets = self._written.popleft()
            supply.settle(tickets)

    def held_back(self, now: float) -> None:
        """Note that nothing was read on purpose."""
        self._link().read_at = now

    def tick(self, now: float) -> float:
        """Ping where nothing else is said, and see that something comes from the broker.

        paho's own ping is not used: it does not see the messages that pass it by, and gives up after two keepalives.
        """
        link, keepalive = self._link(), self._ping_after
        dead_at = link.read_at + max(SILENCES * keepalive, keepalive + _LEAST_SILENCE)
        if now >= dead_at:
            link.give_up(SILENT)
            self.loss = Loss(SILENT)
            return 0.0
        ping_at = max(min(link.read_at, link.written_at), self._pinged_at) + keepalive
        if now >= ping_at:
            link.write(_PINGREQ)
            link.flush()
            self._pinged_at, ping_at = now, now + keepalive
        return min(1.0, ping_at - now, dead_at - now)

    def in_flight(self) -> int:
        """Return how many messages are taken and not settled."""
        return len(self._in_flight) + sum(len(tickets) for _, _, tickets in list(self._written))

    def close(self, goodbye: bool) -> None:
        """Say DISCONNECT where `goodbye`, after all that was written before it."""
        if self._socket is not None and goodbye:
            self._socket.linger = _GOODBYE_SECONDS
        super().close(goodbye)

    def _link(self) -> SplitSocket:
        if self._socket is None:
            raise RuntimeError("this wire was not opened")
        return self._socket

    def _make_socket(self, make: Callable[[], Any]) -> SplitSocket:
        raw: socket.socket = make()
        tune(raw, SILENCES * self._broker.keepalive_seconds)
        splitter = Splitter(with_properties=self._protocol == "5", limit=self._session.packet_limit)
        self._socket = SplitSocket(raw, splitter, _MOST_UNSENT)
        return self._socket

    def _begin(self, properties: Any) -> None:
        """Line up what the broker may not have got."""
        agreed = getattr(properties, "ServerKeepAlive", None) or self._broker.keepalive_seconds
        self._ping_after = float(min(agreed, self._broker.keepalive_seconds))
        self._pinged_at = 0.0
        self._to_repeat = deque(self._in_flight)

    def _repeat(self) -> None:
        """Send again what was in flight when the connection broke, within the window that the broker grants now."""
        link = self._link()
        while self._to_repeat and self.answer is not None and self.answer.accepted and link.room:
            outstanding = len(self._in_flight) - len(self._to_repeat)
            count = min(len(self._to_repeat), self.window - outstanding)
            if count <= 0:
                return
            due = [self._to_repeat.popleft() for _ in range(count)]
            again = [
                (identifier, self._in_flight[identifier][1]) for identifier in due if identifier in self._in_flight
            ]
            link.write(self._encoder.publish(again, again=True))
            self.repeated += len(again)

    def _next_identifier(self) -> int:
        """Return an identifier that is not in use; the window is far smaller than their number."""
        identifier = self._identifier
        while identifier in self._in_flight:
            identifier = _after(identifier)
        self._identifier = _after(identifier)
        return identifier

    def _settle_acknowledged(self, split: Split) -> None:
        done = []
        for identifier, reason in split.acknowledged:
            supply, message = self._in_flight.pop(identifier, (None, None))
            if supply is None or message is None:
                continue  # acknowledged twice
            if reason >= _FIRST_REFUSAL:
                self.count_rejected(reason_name(reason))
            done.append((supply, message.ticket))
        settle(done)

    def _drop_unsent(self) -> None:
        while self._written:
            _, supply, tickets = self._written.popleft()
            self.unsent += len(tickets)
            supply.lose(tickets)

    def _farewell(self, reason: Any) -> tuple[int, str]:
        """Read the code ourselves: paho 2.0 and 2.1 overlook it where no properties follow."""
        code = self._link().farewell
        return code, reason_name(code, DISCONNECT_TYPE)

    def _loss_without_a_word(self, reason: Any) -> Loss:
        link = self._link()
        if link.broken is None:
            return super()._loss_without_a_word(reason)
        return Loss(link.broken, by_peer=True, kind=link.malformed)


def _after(identifier: int) -> int:
    return FIRST_ID + (identifier + 1 - FIRST_ID) % IDS
