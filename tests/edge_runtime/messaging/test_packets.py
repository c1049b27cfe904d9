"""The codec against paho's own decoder, on random streams cut anywhere."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from scripted_peer import PUBACK, packet, publish

from edge_runtime.messaging import packets
from edge_runtime.messaging.message import Message, Outgoing
from edge_runtime.messaging.packets import Encoder, Malformed, Splitter

LIMIT = 1 << 20
Words = tuple[str, bytes, int, bool, bool, int]


class Reading:
    """A socket for paho that holds the stream: what paho makes of it is what is right."""

    def __init__(self, stream: bytes) -> None:
        self._stream = stream

    def recv(self, size: int) -> bytes:
        """Give the next bytes."""
        taken, self._stream = self._stream[:size], self._stream[size:]
        if not taken:
            raise BlockingIOError
        return taken

    def send(self, data: bytes) -> int:
        """Take everything."""
        return len(data)

    def close(self) -> None:
        """Nothing to close."""

    def fileno(self) -> int:
        """No descriptor."""
        return -1

    def setblocking(self, flag: bool) -> None:
        """Nothing to set."""


def by_paho(stream: bytes, version5: bool) -> list[Words]:
    """Return the messages that paho's client reads from a stream."""
    received: list[Words] = []
    socket = Reading(stream)

    class Told(Client):
        def _create_socket(self) -> Any:
            return socket

    protocol = MQTTProtocolVersion.MQTTv5 if version5 else MQTTProtocolVersion.MQTTv311
    client = Told(CallbackAPIVersion.VERSION2, protocol=protocol, manual_ack=True)
    client.on_message = lambda _client, _user, m: received.append(
        (m.topic, bytes(m.payload), m.qos, m.retain, m.dup, m.mid)
    )
    client.connect("nowhere")
    for _ in range(stream.count(b"") // 2):
        if client.socket() is None or not socket._stream:
            break
        client.loop_read()
    return received


def by_splitter(stream: bytes, version5: bool, pieces: random.Random) -> tuple[list[Message], list[bytes]]:
    """Return messages and other packets, read in random pieces."""
    splitter, at = Splitter(with_properties=version5, limit=LIMIT), 0
    messages: list[Message] = []
    others: list[bytes] = []
    while at < len(stream):
        size = pieces.choice([1, 2, 3, 10, 1000, pieces.randint(1, 20_000)])
        split = splitter.split(stream[at : at + size])
        at += size
        messages += split.messages
        others += split.others
    return messages, others


def random_properties(draw: random.Random) -> bytes:
    """Return PUBLISH properties as paho packs them, their length left out; sometimes longer than 127 bytes."""
    given = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if draw.random() < 0.5:
        given.MessageExpiryInterval = draw.randrange(1 << 32)
    for _ in range(draw.randrange(4)):
        given.UserProperty = ("k" * draw.randrange(60), "v" * draw.randrange(60))
    return bytes(given.pack())


def random_message(draw: random.Random, version5: bool) -> bytes:
    """Return a PUBLISH of any QoS."""
    topic = "/".join(draw.choice(["a", "plänt", "x" * 130]) for _ in range(draw.randint(1, 3))).encode()
    qos, payload = draw.randrange(3), draw.randbytes(draw.choice([0, 1, 113, 127, 128, 16_383, 20_000]))
    flags = qos << 1 | draw.randrange(2) | (draw.randrange(2) << 3 if qos else 0)
    body = len(topic).to_bytes(2, "big") + topic
    body += draw.randint(1, 0xFFFF).to_bytes(2, "big") if qos else b""
    return packet(3, body + (random_properties(draw) if version5 else b"") + payload, flags)


@pytest.mark.parametrize("version5", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_the_splitter_reads_what_paho_reads(version5: bool, seed: int) -> None:
    """Messages of QoS 0 and 1 are equal field by field; QoS 2 and the rest are handed on, whole and in order."""
    draw = random.Random(seed)
    stream, passed = [], []
    for _ in range(60):
        one = random_message(draw, version5)
        if draw.random() < 0.2:
            one = draw.choice([packet(13, b""), packet(PUBACK, draw.randrange(1, 0x8000).to_bytes(2, "big"))])
        stream.append(one)
        if one[0] & 0xF4 != 0x30:
            passed.append(one)
    messages, others = by_splitter(b"".join(stream), version5, draw)
    wanted = by_paho(b"".join(stream), version5)
    assert [(m.topic, m.payload, m.qos, m.retain, m.dup, m.mid) for m in messages] == wanted
    assert len(wanted) > 10
    assert others == passed


@pytest.mark.parametrize("version5", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_damaged_streams_raise_malformed_at_most(version5: bool, seed: int) -> None:
    """Flipped bytes never raise anything else, and what came before the damage is as paho reads it."""
    draw = random.Random(seed)
    for _ in range(30):
        first, second = random_message(draw, version5), bytearray(random_message(draw, version5))
        for _ in range(draw.randint(1, 4)):
            second[draw.randrange(min(len(second), 40))] = draw.randrange(256)
        splitter = Splitter(with_properties=version5, limit=LIMIT)
        before = splitter.split(first).messages
        assert [m.payload for m in before] == [m[1] for m in by_paho(first, version5)]
        with contextlib.suppress(Malformed):
            splitter.split(bytes(second))


@pytest.mark.parametrize("version5", [False, True])
def test_what_is_encoded_is_what_paho_reads(version5: bool) -> None:
    """Both QoS, retained or not, repeated or not, at the sizes where the length grows by a byte."""
    encoder, draw = Encoder(with_properties=version5), random.Random(3)
    sizes = [0, 1, 100, 115, 116, 117, 118, 120, 121, 122, 123, 16_370, 16_380, 20_000, 2_097_152]
    for again in (False, True):
        given = [
            (mid, Outgoing(draw.choice(["t", "plänt/x"]), draw.randbytes(size), mid % 2, bool(draw.randrange(2))))
            for mid, size in enumerate(sizes, start=0x8000)
        ]
        read = by_paho(encoder.publish(given, again=again), version5)
        assert read == [
            (m.topic, m.payload, m.qos, m.retain, bool(again and m.qos), mid if m.qos else 0) for mid, m in given
        ]


def test_our_acknowledgements_are_taken_and_paho_s_are_left() -> None:
    """Identifiers from 0x8000 on are ours; MQTT 5 adds a reason and perhaps properties."""
    ours = [packet(PUBACK, b"\x80\x00"), packet(PUBACK, b"\x80\x01\x97"), packet(PUBACK, b"\xff\xff\x10\x00")]
    theirs = packet(PUBACK, b"\x7f\xff")
    split = Splitter(with_properties=True, limit=LIMIT).split(b"".join(ours) + theirs)
    assert split.acknowledged == [(0x8000, 0), (0x8001, 0x97), (0xFFFF, 0x10)]
    assert split.others == [theirs]


@pytest.mark.parametrize(
    ("stream", "fault"),
    [
        (b"\x30\xff\xff\xff\xff\x01", packets.MALFORMED_LENGTH),
        (b"\x30\xff\xff\xff\x7f", packets.TOO_LONG),
        (b"\x30\x01\x00", packets.MALFORMED_PUBLISH),
        (b"\x30\x03\x00\x02t", packets.MALFORMED_PUBLISH),
        (b"\x30\x03\x00\x01\xff", packets.MALFORMED_PUBLISH),
        (b"\x30\x02\x00\x00", packets.MALFORMED_PUBLISH),
        (b"\x32\x05\x00\x01t\x00\x00", packets.MALFORMED_PUBLISH),
        (b"\x36\x05\x00\x01t\x00\x01", packets.MALFORMED_PUBLISH),
        (b"\x40\x01\x00", packets.MALFORMED_PUBACK),
    ],
)
def test_each_fault_has_its_name(stream: bytes, fault: str) -> None:
    """What no MQTT client may accept ends the reading."""
    with pytest.raises(Malformed, match=fault):
        Splitter(with_properties=False, limit=LIMIT).split(stream)


def test_properties_that_do_not_fit_are_a_fault() -> None:
    """Their length is checked although they are not read."""
    for properties in (b"\x05abcd", b"\xff\xff", b""):
        body = b"\x00\x01t" + properties
        with pytest.raises(Malformed):
            Splitter(with_properties=True, limit=LIMIT).split(packet(3, body))


def test_a_topic_seen_once_is_not_decoded_again_and_their_number_is_bounded() -> None:
    """A broker with ever new topics does not fill the memory."""
    splitter = Splitter(with_properties=False, limit=LIMIT)
    twice = splitter.split(publish("same", b"1") + publish("same", b"2")).messages
    assert twice[0].topic is twice[1].topic
    for number in range(3 * packets.MOST_REMEMBERED):
        splitter.split(publish(f"t/{number}", b""))
    assert len(splitter._topics) <= packets.MOST_REMEMBERED


def test_lengths_beyond_mqtt_s_are_refused() -> None:
    """A payload of 256 MiB has no packet, a topic of 64 KiB neither."""
    with pytest.raises(ValueError, match="longer than MQTT allows"):
        packets.pack_length(1 << 28)
    with pytest.raises(ValueError, match="longer than MQTT allows"):
        Encoder(with_properties=False).publish([(0, Outgoing("t" * 65_536, b"", 0))])
