"""The generator's packets, read back by paho's own decoder and by its own reader, however they are cut."""

from __future__ import annotations

import random
import socket

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.load import packets


def frame(topic: str, payload: bytes, qos: int) -> bytes:
    """Return a whole PUBLISH, packet identifier 7 at QoS 1."""
    head, tail = packets.publish(topic, payload, qos)
    return head + (b"\0\7" if qos else b"") + tail


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("size", [0, 1, 100, 127, 128, 20_000, 2_100_000])
def test_paho_reads_what_the_generator_writes(qos: int, size: int) -> None:
    """Topic, payload, QoS and packet identifier arrive as they were, at each width of the length."""
    got: list[mqtt.MQTTMessage] = []
    reader = mqtt.Client(CallbackAPIVersion.VERSION2)
    reader.on_message = lambda _client, _user, message: got.append(message)
    ours, theirs = socket.socketpair()
    payload = bytes(size)
    with ours, theirs:
        reader._sock = theirs
        theirs.setblocking(False)
        data = memoryview(frame("plant/pump/in", payload, qos))
        while not got:
            data = data[ours.send(data[:65536]) :] if data else data
            reader.loop_read()
    assert (got[0].topic, got[0].payload, got[0].qos) == ("plant/pump/in", payload, qos)
    assert got[0].mid == (7 if qos else 0)


def test_packets_come_out_whole_however_the_network_cuts_them() -> None:
    """The same packets from chunks of any size, one byte each included."""
    random_ = random.Random(5)
    sent = [
        (f"out/{number}", random_.randbytes(random_.choice([0, 3, 130, 2_000])), number % 2) for number in range(60)
    ]
    stream = b"".join(frame(*one) for one in sent) + b"\x40\x02\0\7\xd0\0"
    for longest in (1, 7, 300, 70_000):
        reader, found, rest = packets.PacketReader(), [], stream
        while rest:
            size = random_.randint(1, longest)
            found += reader.feed(rest[:size])
            rest = rest[size:]
        answers = [packets.content(*packet) for packet in found if packet[0] >> 4 == packets.PUBLISH]
        assert answers == [(topic.encode(), payload) for topic, payload, _ in sent]
        assert [packet for packet in found if packet[0] >> 4 != packets.PUBLISH] == [(0x40, b"\0\7"), (0xD0, b"")]


def test_a_length_without_end_is_no_packet() -> None:
    """MQTT ends the length after four bytes; a fifth is another protocol's."""
    with pytest.raises(ValueError, match="four bytes"):
        packets.PacketReader().feed(b"\x30\xff\xff\xff\xff\x01")
