"""As much of MQTT 3.1.1 as a load generator needs: a library's cost would hide that of the program under test."""

from __future__ import annotations

from edge_runtime.messaging.packets import pack_length

CONNACK, PUBLISH, PUBACK, SUBACK = 2, 3, 4, 9

_LONGEST_LENGTH = 4  # bytes of the variable length


def connect(client_id: str) -> bytes:
    """Return CONNECT with a clean session and without keepalive."""
    return _packet(0x10, _text("MQTT") + bytes((4, 2, 0, 0)) + _text(client_id))


def subscribe(topic: str, qos: int) -> bytes:
    """Return SUBSCRIBE to one topic filter."""
    return _packet(0x82, b"\0\1" + _text(topic) + bytes((qos,)))


def publish(topic: str, payload: bytes, qos: int) -> tuple[bytes, bytes]:
    """Return PUBLISH in two parts, between which a QoS 1 message has its packet identifier of two bytes."""
    head, body = _text(topic), payload
    size = len(head) + len(body) + (2 if qos else 0)
    return bytes((0x30 | qos << 1,)) + pack_length(size) + head, body


class PacketReader:
    """Cuts a stream of bytes into packets, wherever the network has cut it before."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return (first byte, body) of every packet that is whole now."""
        data = self._rest + data if self._rest else data
        position, end, packets = 0, len(data), []
        while end - position >= 2:
            size, cursor, shift = 0, position + 1, 0
            while cursor < end:
                digit = data[cursor]
                cursor += 1
                size |= (digit & 0x7F) << shift
                shift += 7
                if digit < 0x80:
                    break
                if shift == 7 * _LONGEST_LENGTH:
                    raise ValueError("a packet's length has more than four bytes")
            else:
                break
            if cursor + size > end:
                break
            packets.append((data[position], data[cursor : cursor + size]))
            position = cursor + size
        self._rest = data[position:]
        return packets


def content(first: int, body: bytes) -> tuple[bytes, bytes]:
    """Return topic and payload of a PUBLISH packet."""
    begin = 2 + (body[0] << 8 | body[1])
    return body[2:begin], body[begin + 2 if first & 0x06 else begin :]


def _packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + pack_length(len(body)) + body


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data
