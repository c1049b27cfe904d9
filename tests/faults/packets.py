"""MQTT packets as a proxy sees them: cutting the stream into packets, and rules that change single packets."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

Direction: TypeAlias = Literal["up", "down"]  # up: from the client to the broker
# Pairs of seconds to wait and bytes to send; a packet that is not in the list is lost.
Fate: TypeAlias = list[tuple[float, bytes]]
Rule: TypeAlias = Callable[[Direction, bytes], Fate]

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, DISCONNECT = 1, 2, 3, 4, 8, 9, 14


class Splitter:
    """Cuts a byte stream into whole packets (MQTT 3.1.1 section 2.2)."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take in bytes and yield every packet that is complete."""
        self._rest += data
        while (size := packet_size(self._rest)) and size <= len(self._rest):
            packet = bytes(self._rest[:size])
            del self._rest[:size]
            yield packet


def packet_size(data: bytes | bytearray) -> int:
    """Return the bytes of the packet that begins here, 0 where its length is not complete."""
    length = 0
    for position in range(1, min(len(data), 5)):
        length |= (data[position] & 0x7F) << 7 * (position - 1)
        if data[position] < 0x80:
            return position + 1 + length
    return 0


def kind(packet: bytes) -> int:
    """Return the packet's type."""
    return packet[0] >> 4


def topic(publish: bytes) -> str:
    """Return the topic of a PUBLISH packet."""
    begin = body(publish)
    (length,) = struct.unpack_from(">H", publish, begin)
    return publish[begin + 2 : begin + 2 + length].decode()


def body(packet: bytes) -> int:
    """Return where a packet's variable header begins."""
    return next(position for position in range(1, 5) if packet[position] < 0x80) + 1


def everything(_direction: Direction, packet: bytes) -> Fate:
    """Forward all packets as they are."""
    return [(0.0, packet)]


class PubackFaults:
    """Loses, delays or repeats chosen acknowledgements on their way to the client.

    Attributes:
        seen: Acknowledgements that came by.
        faults: How many of them met a fault.
    """

    def __init__(self, lose: int = 0, delay: int = 0, repeat: int = 0, seconds: float = 0.5) -> None:
        """Each argument but the last is "every so many", 0 for never."""
        self._lose, self._delay, self._repeat, self._seconds = lose, delay, repeat, seconds
        self.seen = self.faults = 0

    def __call__(self, direction: Direction, packet: bytes) -> Fate:
        """Decide about one packet."""
        if direction == "up" or kind(packet) != PUBACK:
            return [(0.0, packet)]
        self.seen += 1
        for every, fate in (
            (self._lose, []),
            (self._delay, [(self._seconds, packet)]),
            (self._repeat, [(0.0, packet), (0.0, packet)]),
        ):
            if every and self.seen % every == 0:
                self.faults += 1
                return fate
        return [(0.0, packet)]


class HoldAcknowledgements:
    """Lets no PUBACK through to the client while it is closed: the broker takes messages and never says so.

    The only way to hold the results back while readings come in over the same link.
    """

    def __init__(self) -> None:
        self._closed = threading.Event()
        self.held = 0

    def close(self) -> None:
        """Hold from now on."""
        self._closed.set()

    def open(self) -> None:
        """Let the next ones through; those held are lost, so cut the link to have the messages repeated."""
        self._closed.clear()

    def __call__(self, direction: Direction, packet: bytes) -> Fate:
        """Decide about one packet."""
        if direction == "down" and kind(packet) == PUBACK and self._closed.is_set():
            self.held += 1
            return []
        return [(0.0, packet)]


class RepeatPublish:
    """Sends every so-many-th PUBLISH of one direction twice, as a confused network stack would."""

    def __init__(self, direction: Direction, every: int) -> None:
        self._direction, self._every = direction, every
        self._seen = 0
        self.faults = 0

    def __call__(self, direction: Direction, packet: bytes) -> Fate:
        """Decide about one packet."""
        if direction != self._direction or kind(packet) != PUBLISH:
            return [(0.0, packet)]
        self._seen += 1
        if self._seen % self._every:
            return [(0.0, packet)]
        self.faults += 1
        return [(0.0, packet), (0.0, packet)]


class DelaySuback:
    """Answers subscriptions late, so that messages may come before the answer."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, direction: Direction, packet: bytes) -> Fate:
        """Decide about one packet."""
        return [(self._seconds if direction == "down" and kind(packet) == SUBACK else 0.0, packet)]


class Connack:
    """Puts a return code into CONNACK, or says that no session is present.

    Args:
        code: 0 accepts; 1 to 5 refuse in MQTT 3.1.1, 0x80 and above in MQTT 5.
        times: How many connects are answered so; later ones pass. None: all.
    """

    def __init__(self, code: int = 0, times: int | None = None) -> None:
        self._code, self._times = code, times
        self.answered = 0

    def __call__(self, direction: Direction, packet: bytes) -> Fate:
        """Decide about one packet."""
        if direction == "up" or kind(packet) != CONNACK or (self._times is not None and self.answered >= self._times):
            return [(0.0, packet)]
        self.answered += 1
        begin = body(packet)
        return [(0.0, packet[:begin] + bytes([0, self._code]) + packet[begin + 2 :])]


def disconnect(reason: int | None = None) -> bytes:
    """Return the packet by which a server says goodbye: bare, or with an MQTT 5 reason."""
    return bytes([DISCONNECT << 4, 0]) if reason is None else bytes([DISCONNECT << 4, 2, reason, 0])
