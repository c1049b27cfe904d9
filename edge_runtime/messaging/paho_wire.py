"""The paho door: MQTT through paho's public interface, in the caller's thread.

It is a wire of its own, and the part of `split_wire` that does all but carry messages.
"""

from __future__ import annotations

import logging
import math
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_runtime.messaging.broker import Broker
from edge_runtime.messaging.message import Message, Outgoing, Supply
from edge_runtime.messaging.split_socket import SplitSocket, tune
from edge_runtime.messaging.wire import (
    ANSWER_SECONDS,
    TAKEN_OVER,
    WINDOW,
    Answer,
    Loss,
    ProtocolVersion,
    Session,
)

log = logging.getLogger(__name__)

_MOST_PACKETS = 100  # read in one turn
_RECEIVE_MAXIMUM = 1000  # QoS 1 messages that an MQTT 5 broker may have unacknowledged towards us
SILENCES = 1.5  # keepalives without a byte from the broker, after which the link counts as dead
# What paho lets out of its decoders where a packet is not what it should be; 2.2 turns most of them into an error code.
_DECODER_FAULTS = (ValueError, KeyError, IndexError, TypeError, AssertionError, AttributeError, struct.error)
_KEEPALIVE_TIMEOUT = 0x8D
_UNDECODABLE = "undecodable packet"

DISCONNECT_TYPE = PacketTypes.DISCONNECT

SILENT = "the broker was silent for too long"

Hook = Callable[[Callable[[], Any]], SplitSocket]


class PahoWire:
    """A wire on paho's public interface alone; see `wire.Wire`.

    Args:
        broker: Where to connect.
        session: What to be there.
        protocol: MQTT version to speak.
        hook: Makes the socket that paho uses, from a function that makes paho's own; None leaves paho's own to it.
    """

    kind: Literal["split", "paho"] = "paho"

    def __init__(self, broker: Broker, session: Session, protocol: ProtocolVersion, hook: Hook | None = None) -> None:
        self.answer: Answer | None = None
        self.loss: Loss | None = None
        self.refused: tuple[str, ...] = ()
        self.repeated = self.unsent = 0
        self.rejected: dict[str, int] = {}
        self._broker, self._session, self._protocol = broker, session, protocol
        self._client = _make_client(broker, session, protocol, hook)
        self.window = WINDOW
        self._held_at = -math.inf
        self._received: list[Message] = []
        self._owed: set[int] = set()  # identifiers received on this connection and not acknowledged
        self._open: dict[int, tuple[Supply, int, int]] = {}  # paho's identifier -> supply, ticket, QoS
        self._done: list[tuple[Supply, int]] = []
        client = self._client
        client.on_connect, client.on_disconnect = self._handle_connect, self._handle_disconnect
        client.on_subscribe, client.on_message = self._handle_subscribe, self._handle_message
        client.on_publish = self._handle_publish

    def open(self) -> None:
        """Connect and send CONNECT."""
        self.answer = self.loss = None
        self._owed.clear()
        self._received.clear()
        self._drop_unsent()
        options: dict[str, Any] = {}
        if self._protocol == "5":
            options = {"clean_start": self._session.clean, "properties": _connect_properties(self._session)}
        self._client.connect(self._broker.host, self._broker.port, self._keepalive(), **options)

    def fileno(self) -> int:
        """Return the descriptor to wait on; -1 without a connection."""
        connection = self._client.socket()
        return -1 if connection is None else connection.fileno()

    def wants_write(self) -> bool:
        """Tell whether paho has something to write."""
        return self._client.want_write()

    def has_more(self) -> bool:
        """Tell whether TLS has decrypted more than was read."""
        pending = getattr(self._client.socket(), "pending", None)
        return bool(pending and pending())

    def drain(self) -> list[Message]:
        """Read packet by packet, as paho does."""
        ready = select.poll()
        if (descriptor := self.fileno()) >= 0:
            ready.register(descriptor, select.POLLIN)
        for _ in range(_MOST_PACKETS):
            self._let_paho_read()
            if self.loss is not None or not (self.has_more() or ready.poll(0)):
                break
        self._settle_done()
        received, self._received = self._received, []
        return received

    def room(self) -> int:
        """Return how many messages paho may have more; beyond its window it would queue them itself."""
        return self.window - len(self._open) if self.answer is not None and self.answer.accepted else 0

    def send(self, batch: Sequence[Outgoing], supply: Supply) -> None:
        """Hand messages to paho, which writes them at once where the network takes them."""
        for message in batch:
            sent = self._publish(message)
            if message.qos == 0 and sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self.unsent += 1
                self._done.append((supply, message.ticket))
            elif message.qos == 0 and sent.is_published():  # on_publish came before its identifier was known here
                self._done.append((supply, message.ticket))
            else:
                self._open[sent.mid] = (supply, message.ticket, message.qos)

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Send acknowledgements of messages that came on this connection."""
        for message in messages:
            if message.qos and message.mid in self._owed:
                self._owed.remove(message.mid)
                self._client.ack(message.mid, message.qos)

    def flush(self) -> None:
        """Write what paho could not write at once."""
        if self._client.want_write():
            self._client.loop_write()
        self._settle_done()

    def held_back(self, now: float) -> None:
        """Note that nothing was read on purpose."""
        self._held_at = now

    def tick(self, now: float) -> float:
        """Let paho ping, and see that its ping is answered, unless the answer may wait unread."""
        if now >= self._held_at + self._broker.keepalive_seconds:
            self._client.loop_misc()
        return min(1.0, self._keepalive() / 4)

    def in_flight(self) -> int:
        """Return how many messages are taken and not settled."""
        return len(self._open)

    def close(self, goodbye: bool) -> None:
        """Say DISCONNECT where `goodbye`, and let go of the socket."""
        connection = self._client.socket()
        if connection is None:
            return
        if goodbye:
            self._say_goodbye()
        if (left := self._client.socket()) is not None:
            left.close()

    def _publish(self, message: Outgoing) -> MQTTMessageInfo:
        while True:
            sent = self._client.publish(message.topic, message.payload, message.qos, message.retain)
            if sent.rc != MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
                return sent
            # paho counted round to an identifier that is still in use, and did not take the message.

    def _say_goodbye(self) -> None:
        self._client.disconnect()
        end = time.monotonic() + 1.0
        while self._client.want_write() and (descriptor := self.fileno()) >= 0 and time.monotonic() < end:
            select.select([], [descriptor], [], 0.1)
            self._client.loop_write()

    def _keepalive(self) -> int:
        """Return the keepalive to agree on: paho notices a silent broker within two of them, which is too late."""
        return max(1, int(self._broker.keepalive_seconds * SILENCES / 2))

    def _let_paho_read(self) -> None:
        try:
            found = self._client.loop_read()
        except _DECODER_FAULTS as error:
            self.loss = Loss(f"the broker sent what is no MQTT: {error}", by_peer=True, kind=_UNDECODABLE)
            return
        accepted = self.answer is not None and self.answer.accepted
        if found == MQTTErrorCode.MQTT_ERR_PROTOCOL and accepted and (self.loss is None or self.loss.kind is None):
            # 2.0 and 2.1 tell their caller, and on_disconnect something else.
            self.loss = Loss("the broker sent what is no MQTT", by_peer=True, kind=_UNDECODABLE)

    def _drop_unsent(self) -> None:
        """Count what paho forgets with a connection: QoS 0 messages that it had not written."""
        for identifier, (supply, ticket, qos) in list(self._open.items()):
            if qos == 0:
                del self._open[identifier]
                self.unsent += 1
                supply.lose([ticket])

    def _settle_done(self) -> None:
        if self._done:
            done, self._done = self._done, []
            settle(done)

    def _handle_connect(
        self, client: Client, _user: object, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if not reason.is_failure:
            granted = getattr(properties, "ReceiveMaximum", WINDOW)
            self.window = min(WINDOW, granted)
            self._begin(properties)
            if self._session.subscriptions:
                client.subscribe(list(self._session.subscriptions))
        self.answer = Answer(not reason.is_failure, reason.value, str(reason))

    def _begin(self, properties: Properties | None) -> None:
        """Repeat what the broker may not have got; here paho does."""
        self.repeated += len(self._open)

    def _handle_disconnect(
        self,
        _client: Client,
        _user: object,
        flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self.loss is not None:
            return
        if flags.is_disconnect_packet_from_server:
            code, words = self._farewell(reason)
            words = f"the broker ended the connection: {words}"
            self.loss = Loss(words, taken_over=code == TAKEN_OVER, by_peer=True)
        else:
            self.loss = self._loss_without_a_word(reason)

    def _farewell(self, reason: ReasonCode) -> tuple[int, str]:
        """Return the reason code of the broker's DISCONNECT and its words."""
        return reason.value, str(reason)

    def _loss_without_a_word(self, reason: ReasonCode) -> Loss:
        if reason.value == _KEEPALIVE_TIMEOUT:
            return Loss(SILENT)
        return Loss(f"the connection broke: {reason}", by_peer=True)

    def _handle_subscribe(
        self, _client: Client, _user: object, _mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        answers = zip(self._session.subscriptions, reasons, strict=False)
        self.refused = tuple(topic for (topic, _), reason in answers if reason.is_failure)
        for topic in self.refused:
            log.error("the broker refuses the subscription to %s: see its access control list", topic)

    def _handle_publish(
        self, _client: Client, _user: object, mid: int, reason: ReasonCode, _properties: Properties
    ) -> None:
        supply, ticket, _qos = self._open.pop(mid, (None, 0, 0))
        if supply is None:
            return  # QoS 0, written while `send` still waits for its identifier
        if reason.is_failure:
            self.count_rejected(str(reason))
        self._done.append((supply, ticket))

    def _handle_message(self, _client: Client, _user: object, message: MQTTMessage) -> None:
        if message.qos:
            self._owed.add(message.mid)
        self._received.append(
            Message(
                message.topic,
                bytes(message.payload),
                message.qos,
                message.retain,
                message.dup,
                message.mid,
                time.monotonic(),
            )
        )

    def count_rejected(self, reason: str) -> None:
        """Count a message that the broker acknowledged and refused."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1


class _HookedClient(Client):
    """paho with a socket of ours, by the one private name that is used: `_create_socket`.

    It has this meaning in 2.0, 2.1 and 2.2; `wire_choice` tries whether it still has.
    """

    hook: Hook

    def _create_socket(self) -> Any:
        return self.hook(super()._create_socket)


def settle(done: Sequence[tuple[Supply, int]]) -> None:
    """Hand tickets back to the supplies they came from, one call for each run of the same supply."""
    tickets: list[int] = []
    for index, (supply, ticket) in enumerate(done):
        tickets.append(ticket)
        if index + 1 == len(done) or done[index + 1][0] is not supply:
            supply.settle(tickets)
            tickets = []


def reason_name(code: int, packet_type: int = PacketTypes.PUBACK) -> str:
    """Return the standard's words for the reason code of a packet."""
    try:
        return str(ReasonCode(packet_type, identifier=code))
    except (KeyError, ValueError, AssertionError, IndexError):
        return f"reason 0x{code:02X}"


def _make_client(broker: Broker, session: Session, protocol: ProtocolVersion, hook: Hook | None) -> Client:
    version5 = protocol == "5"
    kind = Client if hook is None else _HookedClient
    client = kind(
        CallbackAPIVersion.VERSION2,
        client_id=session.client_id,
        clean_session=None if version5 else session.clean,
        protocol=MQTTProtocolVersion.MQTTv5 if version5 else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,  # it would reconnect by itself in the middle of reading
        manual_ack=True,
    )
    if isinstance(client, _HookedClient) and hook is not None:
        client.hook = hook
    if broker.username is not None:
        client.username_pw_set(broker.username, broker.password)
    if session.will is not None:
        client.will_set(session.will.topic, session.will.payload, qos=1, retain=True)
    if session.tls is not None:
        client.tls_set_context(session.tls)
        if not session.tls.check_hostname:
            client.tls_insecure_set(True)  # else paho calls what Python 3.12 has no more
    client.connect_timeout = ANSWER_SECONDS
    client.max_inflight_messages_set(WINDOW)
    if hook is None:
        silence = broker.keepalive_seconds * SILENCES
        client.on_socket_open = lambda _client, _user, opened: _tune(opened, silence)
    return client


def _tune(opened: Any, silence: float) -> None:
    if isinstance(opened, socket.socket):
        tune(opened, silence)


def _connect_properties(session: Session) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.ReceiveMaximum = _RECEIVE_MAXIMUM
    properties.MaximumPacketSize = session.packet_limit
    properties.TopicAliasMaximum = 0  # PUBLISH without a topic would have to be remembered
    if not session.clean:
        properties.SessionExpiryInterval = session.expiry_seconds
    return properties
