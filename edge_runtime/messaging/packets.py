"""The part of MQTT 3.1.1 and 5 that every message needs: PUBLISH and PUBACK at QoS 0 and 1, as bytes; nothing else.

All other packets are told apart by their fixed header and handed on as they came. Section numbers are those of the
OASIS standards "MQTT Version 3.1.1" and "MQTT Version 5.0".
"""

from __future__ import annotations

from typing import NamedTuple

from edge_runtime.messaging.message import Message, Outgoing

FIRST_ID = 0x8000  # packet identifiers from here to 0xFFFF are ours, those below belong to paho
IDS = 0x8000

MALFORMED_LENGTH = "malformed remaining length"
MALFORMED_PUBLISH = "malformed PUBLISH"
MALFORMED_PUBACK = "malformed PUBACK"
TOO_LONG = "packet longer than the limit"

_PUBLISH, _PUBACK = 0x30, 0x40
_DUP, _QOS_1 = 0x08, 0x02
MOST_REMEMBERED = 4096  # topics and headers that are kept ready


class Malformed(ValueError):
    """The peer does not speak MQTT (any more); nothing after this can be understood."""


class Split(NamedTuple):
    """What some bytes held, each kind in its order.

    Attributes:
        messages: PUBLISH of QoS 0 and 1.
        acknowledged: PUBACK of our identifiers: (identifier, reason code); below 0x80 the broker has the message.
        others: All other packets, whole.
    """

    messages: list[Message]
    acknowledged: list[tuple[int, int]]
    others: list[bytes]


class Splitter:
    """Takes the bytes of one connection as they come and returns the packets in them.

    Args:
        with_properties: Whether it is MQTT 5, where PUBLISH has properties; they are stepped over unread.
        limit: Largest packet in bytes, its fixed header included.
    """

    def __init__(self, *, with_properties: bool, limit: int) -> None:
        self._with_properties, self._limit = with_properties, limit
        self._rest = bytearray()
        self._needed = 2  # bytes that `rest` must have before looking at it again can show anything new
        self._topics: dict[bytes, str] = {}
        self._now = 0.0

    def split(self, data: bytes, now: float = 0.0) -> Split:
        """Return the packets that are complete now, which arrived at `now`, monotonic seconds.

        Raises:
            Malformed: With one of this module's reasons. The packets before the fault are lost with it.
        """
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return Split([], [], [])
            data = bytes(self._rest)
            self._rest.clear()
        self._now = now
        found = Split([], [], [])
        at, end, add, message = 0, len(data), found.messages.append, self._message
        while end - at >= 2:
            length, body = data[at + 1], at + 2
            if length & 0x80:
                length, body = _long_length(data, at + 1)
                if not body:
                    break
            stop = body + length
            if stop - at > self._limit:
                raise Malformed(TOO_LONG)
            if stop > end:
                break
            if data[at] & 0xF4 == _PUBLISH:  # QoS 0 or 1
                add(message(data, data[at], body, stop))
            else:
                self._sort(data, at, body, stop, found)
            at = stop
        if at < end:
            self._keep(data, at)
        return found

    def _keep(self, data: bytes, at: int) -> None:
        self._rest += data[at:]
        length, body = _long_length(data, at + 1)
        self._needed = body - at + length if body else len(self._rest) + 1

    def _sort(self, data: bytes, at: int, body: int, stop: int, found: Split) -> None:
        head = data[at]
        if head & 0xF6 == 0x36:
            raise Malformed(MALFORMED_PUBLISH)  # QoS 3 does not exist [MQTT-3.3.1-4]
        if head == _PUBACK:
            if stop - body < 2:
                raise Malformed(MALFORMED_PUBACK)
            identifier = data[body] << 8 | data[body + 1]
            if identifier >= FIRST_ID:
                found.acknowledged.append((identifier, data[body + 2] if stop - body > 2 else 0))
                return
        found.others.append(data[at:stop])

    def _message(self, data: bytes, head: int, body: int, stop: int) -> Message:
        start = body + 2
        if start > stop:
            raise Malformed(MALFORMED_PUBLISH)
        at = start + (data[body] << 8 | data[body + 1])
        name = data[start:at]
        topic = self._topics.get(name) or self._new_topic(name)
        if head & _QOS_1:
            qos = 1
            at += 2
            identifier = data[at - 2] << 8 | data[at - 1] if at <= stop else 0
            if not identifier:
                raise Malformed(MALFORMED_PUBLISH)  # [MQTT-2.3.1-1]; 2.2.1 of MQTT 5
        else:
            identifier = qos = 0
        if self._with_properties and at < stop:
            length, at = _long_length(data, at) if data[at] & 0x80 else (data[at], at + 1)
            at = at + length if at else stop + 1
        elif self._with_properties:
            at = stop + 1
        if at > stop:
            raise Malformed(MALFORMED_PUBLISH)
        return Message(topic, data[at:stop], qos, bool(head & 1), bool(head & _DUP), identifier, self._now)

    def _new_topic(self, name: bytes) -> str:
        try:
            topic = name.decode()
        except UnicodeDecodeError as error:
            raise Malformed(MALFORMED_PUBLISH) from error  # [MQTT-1.5.3-1]
        if not topic:
            raise Malformed(MALFORMED_PUBLISH)  # of MQTT 5 only with an alias, and none was offered
        if len(self._topics) >= MOST_REMEMBERED:
            self._topics.clear()
        self._topics[name] = topic
        return topic


class Encoder:
    """Writes PUBLISH packets; topics and fixed headers are made once and kept."""

    def __init__(self, *, with_properties: bool) -> None:
        self._with_properties = with_properties
        self._topics: dict[str, bytes] = {}
        self._headers: dict[int, bytes] = {}

    def publish(self, messages: list[tuple[int, Outgoing]], *, again: bool = False) -> bytes:
        """Return the packets of these messages in one piece.

        Args:
            messages: Pairs of a packet identifier and a message; with QoS 0 the identifier is not used.
            again: Whether they were sent on an earlier connection: DUP.
        """
        parts: list[bytes] = []
        add, topics, headers = parts.append, self._topics, self._headers
        extra = 1 if self._with_properties else 0
        for identifier, message in messages:
            payload = message.payload
            topic = topics.get(message.topic) or self._new_topic(message.topic)
            remaining = len(topic) + len(payload) + extra
            if message.qos:
                key = (remaining + 2) << 8 | (_PUBLISH | _QOS_1 | message.retain | again << 3)
                add(headers.get(key) or self._new_header(key))
                add(topic)
                add(identifier.to_bytes(2, "big"))
            else:
                key = remaining << 8 | _PUBLISH | message.retain
                add(headers.get(key) or self._new_header(key))
                add(topic)
            if extra:
                add(b"\x00")  # no properties
            add(payload)
        return b"".join(parts)

    def _new_topic(self, topic: str) -> bytes:
        name = topic.encode()
        if len(name) > 0xFFFF:
            raise ValueError(f"a topic of {len(name)} bytes is longer than MQTT allows")
        if len(self._topics) >= MOST_REMEMBERED:
            self._topics.clear()
        packed = self._topics[topic] = len(name).to_bytes(2, "big") + name
        return packed

    def _new_header(self, key: int) -> bytes:
        if len(self._headers) >= MOST_REMEMBERED:
            self._headers.clear()
        packed = self._headers[key] = bytes([key & 0xFF]) + pack_length(key >> 8)
        return packed


def puback(identifiers: list[int]) -> bytes:
    """Return the PUBACK packets for these identifiers of received messages; of both versions alike."""
    return b"".join([b"\x40\x02" + identifier.to_bytes(2, "big") for identifier in identifiers])


def pack_length(length: int) -> bytes:
    """Return a remaining length (section 2.2.3): 7 bits a byte, the lowest first, at most 4 bytes.

    Raises:
        ValueError: It is longer than MQTT allows.
    """
    if length >> 28:
        raise ValueError(f"a packet of {length} bytes is longer than MQTT allows")
    packed = bytearray()
    while length > 0x7F:
        packed.append(length & 0x7F | 0x80)
        length >>= 7
    packed.append(length)
    return bytes(packed)


def _long_length(data: bytes, at: int) -> tuple[int, int]:
    """Return (value, where it ends) of a variable byte integer; ends at 0 where it is not complete."""
    value = 0
    for index, byte in enumerate(data[at : at + 4]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    if len(data) >= at + 4:
        raise Malformed(MALFORMED_LENGTH)
    return 0, 0
