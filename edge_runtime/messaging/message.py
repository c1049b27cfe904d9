"""One MQTT message, on its way in and on its way out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message as it came in.

    Attributes:
        topic: Where it was published.
        payload: What.
        qos: 0, 1 or 2.
        retain: Whether the broker had kept it from before the subscription.
        dup: Whether the broker may have sent it before, as its PUBLISH packet says.
        mid: Packet identifier, 0 at QoS 0.
        arrived: When it was read from the network, monotonic seconds.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    mid: int
    arrived: float = 0.0


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A message to publish.

    Attributes:
        topic: Where.
        payload: What.
        qos: 0 or 1.
        retain: Whether the broker keeps it for later subscribers.
        ticket: What its source knows it by, handed back once it is settled.
    """

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    ticket: int = 0


class Supply(Protocol):
    """Where a connection takes messages from when it has room; by one thread at a time, and it never blocks."""

    def take(self, room: int) -> Sequence[Outgoing]:
        """Return the next messages to send, at most `room`; each is settled later, or repeated after a reconnect."""

    def settle(self, tickets: Sequence[int]) -> None:
        """Note what is done: handed to the operating system (QoS 0) or acknowledged by the broker (QoS 1)."""

    def lose(self, tickets: Sequence[int]) -> None:
        """Note QoS 0 messages that were taken and lost unwritten with their connection."""
