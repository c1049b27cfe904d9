"""The contract between a connection, which decides what goes when, and the wire that speaks MQTT for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from edge_runtime.messaging.message import Message, Outgoing, Supply

if TYPE_CHECKING:
    import ssl

ProtocolVersion: TypeAlias = Literal["3.1.1", "5"]

WINDOW = 100  # most QoS 1 messages sent and not acknowledged; a reconnect repeats at most these
ANSWER_SECONDS = 10.0  # how long a broker may take to accept the TCP connection, TLS, and CONNECT, each
TAKEN_OVER = 0x8E  # MQTT 5, 3.14.2.1: another client connected with this client's identifier
UNSUPPORTED_VERSION = 0x84


@dataclass(frozen=True)
class Will:
    """What the broker publishes, retained and at QoS 1, when this client vanishes."""

    topic: str
    payload: bytes


@dataclass(frozen=True)
class Session:
    """What the broker should know and keep about this client.

    Attributes:
        client_id: Unique at the broker; a second client with it throws the first one out.
        clean: Whether the broker forgets subscriptions and undelivered messages on disconnect.
        will: Published when the connection is lost without a goodbye.
        subscriptions: Pairs (topic filter, QoS), renewed on every connect.
        reconnect_max_seconds: Longest pause between two attempts; pauses double from one second on.
        protocol: MQTT version; "auto" tries 5 and takes 3.1.1 where the broker does not speak it.
        expiry_seconds: How long a broker that speaks MQTT 5 keeps what `clean` does not let it forget.
        tls: Speaks TLS by these rules; None speaks plain TCP.
        packet_limit: Largest packet accepted, in bytes; a longer one ends the connection.
    """

    client_id: str
    clean: bool = True
    will: Will | None = None
    subscriptions: Sequence[tuple[str, int]] = ()
    reconnect_max_seconds: int = 60
    protocol: Literal["3.1.1", "5", "auto"] = "3.1.1"
    expiry_seconds: int = 3600
    tls: ssl.SSLContext | None = None
    packet_limit: int = 32 << 20


@dataclass(frozen=True)
class Answer:
    """What the broker answered to CONNECT; `words` are those of the standard."""

    accepted: bool
    code: int
    words: str


@dataclass(frozen=True)
class Loss:
    """How a connection ended.

    Attributes:
        words: Why, for people.
        taken_over: Whether the broker said that another client has this one's identifier (MQTT 5 only).
        by_peer: Whether the other side closed it.
        kind: Name to count faults of the peer under, None where it was none.
    """

    words: str
    taken_over: bool = False
    by_peer: bool = False
    kind: str | None = None


class Wire(Protocol):
    """One MQTT client without a thread, used by one thread at a time.

    QoS 1 messages that were sent stay with it until the broker acknowledges them, over any number of connections:
    after a reconnect it repeats them itself, flagged DUP, in their order and before anything new.

    Attributes:
        kind: Which implementation it is.
        answer: The broker's answer to the latest CONNECT, None while it has not come.
        loss: How the latest connection ended, None while it stands.
        refused: Topic filters that the broker did not grant.
        repeated: QoS 1 messages sent once more after a reconnect.
        window: Most QoS 1 messages in flight that the broker grants.
        unsent: QoS 0 messages that were taken and then lost unsent with their connection.
        rejected: QoS 1 messages that the broker acknowledged and refused (MQTT 5), by the standard's reason.
    """

    kind: Literal["split", "paho"]
    answer: Answer | None
    loss: Loss | None
    refused: tuple[str, ...]
    repeated: int
    unsent: int
    window: int
    rejected: dict[str, int]

    def open(self) -> None:
        """Connect and send CONNECT; the answer comes with `drain`. Raises OSError where there is no connection."""

    def fileno(self) -> int:
        """Return the descriptor to wait on."""

    def wants_write(self) -> bool:
        """Tell whether writability is worth waiting for."""

    def has_more(self) -> bool:
        """Tell whether `drain` has more to give although the descriptor may not be readable."""

    def drain(self) -> list[Message]:
        """Read all there is, settle with their supplies what was acknowledged, and return what came in."""

    def room(self) -> int:
        """Return how many messages `send` takes now."""

    def send(self, batch: Sequence[Outgoing], supply: Supply) -> None:
        """Take messages for sending; `supply` gets their tickets back once they are settled."""

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Send acknowledgements of received messages; those not received on this connection are left out.

        The broker delivers those again. Without that, it could take an acknowledgement for that of another message
        to which it has given the same identifier since.
        """

    def flush(self) -> None:
        """Write what waits, and settle with their supplies QoS 0 messages that were written."""

    def held_back(self, now: float) -> None:
        """Note that nothing was read on purpose until now: the peer's silence does not count against it."""

    def tick(self, now: float) -> float:
        """See to keepalive; return in how many seconds at the latest this must be called again."""

    def in_flight(self) -> int:
        """Return how many messages are taken and not settled."""

    def close(self, goodbye: bool) -> None:
        """End the connection: with DISCONNECT, so that no will is published, or without a word."""
