"""A broker's side of MQTT, written anew from the standard, that does exactly what a test tells it, faults included."""

from __future__ import annotations

import random
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

from edge_runtime.messaging.broker import Broker
from edge_runtime.messaging.connection import Connection, Message, Session

HOST = "127.0.0.1"
PATIENCE = 20.0
CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 8, 9, 12, 13, 14


def packet(kind: int, body: bytes, flags: int = 0) -> bytes:
    """Return a packet."""
    head, length = bytes([kind << 4 | flags]), len(body)
    while length > 127:
        head += bytes([length % 128 + 128])
        length //= 128
    return head + bytes([length]) + body


def publish(
    topic: str, payload: bytes, qos: int = 0, mid: int = 0, *, dup: bool = False, properties: Any = None
) -> bytes:
    """Return a PUBLISH; `properties` are bytes for MQTT 5, None for 3.1.1."""
    name = topic.encode()
    body = struct.pack("!H", len(name)) + name + (struct.pack("!H", mid) if qos else b"")
    body += b"" if properties is None else bytes([len(properties)]) + properties
    return packet(PUBLISH, body + payload, dup << 3 | qos << 1)


class Published:
    """A PUBLISH as the peer read it."""

    def __init__(self, flags: int, body: bytes, version5: bool) -> None:
        self.qos, self.dup, self.retain = flags >> 1 & 3, bool(flags & 8), bool(flags & 1)
        end = 2 + int.from_bytes(body[:2], "big")
        self.topic = body[2:end].decode()
        self.mid = int.from_bytes(body[end : end + 2], "big") if self.qos else 0
        end += 2 if self.qos else 0
        assert not version5 or body[end] == 0
        self.payload = body[end + version5 :]


class Peer:
    """Listens on loopback; each `accept` is one client's connection, with TLS where it is given."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._listener = socket.create_server((HOST, 0))
        self._listener.settimeout(PATIENCE)
        self.port = int(self._listener.getsockname()[1])
        self._talks: list[Talk] = []

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for talk in self._talks:
            talk.close()

    def accept(self) -> Talk:
        """Wait for the client to connect."""
        stream = self._listener.accept()[0]
        stream.settimeout(PATIENCE)
        self._talks.append(Talk(stream if self._tls is None else self._tls.wrap_socket(stream, server_side=True)))
        return self._talks[-1]


class Talk:
    """One connection; PINGREQ and SUBSCRIBE are answered by the way."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        stream.settimeout(PATIENCE)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.version5 = False
        self.connect = b""

    def welcome(self, code: int = 0, *, present: bool = False, properties: bytes = b"") -> Talk:
        """Read CONNECT and answer it."""
        _, self.connect = self.read(CONNECT)
        self.version5 = self.connect[6] == 5
        body = bytes([present, code]) + (bytes([len(properties)]) + properties if self.version5 else b"")
        self.send(packet(CONNACK, body))
        return self

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._stream.sendall(data)

    def send_in_pieces(self, data: bytes, seed: int) -> None:
        """Send bytes cut anywhere."""
        pieces, at = random.Random(seed), 0
        while at < len(data):
            size = pieces.choice([1, 2, 3, 7, 100, 1500, pieces.randint(1, 20_000)])
            self.send(data[at : at + size])
            at += size

    def publish(self, topic: str, payload: bytes, qos: int = 0, mid: int = 0, *, dup: bool = False) -> None:
        """Send a message."""
        self.send(self.written(topic, payload, qos, mid, dup=dup))

    def written(self, topic: str, payload: bytes, qos: int = 0, mid: int = 0, *, dup: bool = False) -> bytes:
        """Return a message's packet of this connection's version."""
        return publish(topic, payload, qos, mid, dup=dup, properties=b"" if self.version5 else None)

    def acknowledge(self, mids: Sequence[int], reason: int | None = None) -> None:
        """Send PUBACKs."""
        extra = b"" if reason is None else bytes([reason])
        self.send(b"".join(packet(PUBACK, struct.pack("!H", mid) + extra) for mid in mids))

    def read(self, wanted: int) -> tuple[int, bytes]:
        """Return flags and body of the next packet, which must be of this kind but for pings and subscriptions."""
        while True:
            kind, flags, body = self._read_any()
            if kind == wanted:
                return flags, body
            if kind == PINGREQ:
                self.send(packet(PINGRESP, b""))
            else:
                assert kind == SUBSCRIBE, f"packet of kind {kind} instead of {wanted}"
                self.send(packet(SUBACK, body[:2] + (b"\0" if self.version5 else b"") + b"\1"))

    def published(self, count: int) -> list[Published]:
        """Return the next messages of the client."""
        return [Published(*self.read(PUBLISH), self.version5) for _ in range(count)]

    def acknowledged(self, count: int) -> list[int]:
        """Return the identifiers of the client's next PUBACKs."""
        return [int.from_bytes(self.read(PUBACK)[1][:2], "big") for _ in range(count)]

    def ends(self) -> bool:
        """Tell whether the client closes now, whatever it says before."""
        try:
            while self._stream.recv(65536):
                pass
        except ConnectionError:
            pass
        return True

    def reset(self) -> None:
        """Vanish with a TCP reset."""
        self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._stream.close()

    def close(self) -> None:
        """Close in order; harmless when it is closed."""
        self._stream.close()

    def _read_any(self) -> tuple[int, int, bytes]:
        head, length, shift = self._take(1)[0], 0, 0
        while True:
            byte = self._take(1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return head >> 4, head & 15, self._take(length)

    def _take(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._stream.recv(size - len(data))
            if not more:
                raise ConnectionError("the client closed the connection")
            data += more
        return data


class Line:
    """A connection to the peer, and what has come over it."""

    def __init__(
        self, peer: Peer, *, welcome: bool = True, keepalive: int = 30, supplies: Any = (), **session: Any
    ) -> None:
        self.received: list[Message] = []
        self.batches = 0
        self._changed = threading.Condition()
        self.connection = Connection(
            Broker(HOST, peer.port, keepalive_seconds=keepalive),
            Session(client_id="client", reconnect_max_seconds=1, **session),
            on_messages=self._receive,
            supplies=supplies,
        )
        self._pool = ThreadPoolExecutor(1)
        self.started = self._pool.submit(self.connection.start)
        if welcome:
            self.talk = peer.accept().welcome()
            self.started.result(PATIENCE)

    def wait_for(self, count: int) -> list[Message]:
        """Return the messages once there are so many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.received) >= count, PATIENCE), len(self.received)
        return self.received

    def until(self, *conditions: Any) -> None:
        """Return once all conditions hold."""
        end = threading.Event()
        for _ in self._ticks():
            if all(condition() for condition in conditions):
                return
            end.wait(0.005)
        raise AssertionError(f"waited in vain: {self.connection.health()}")

    def close(self) -> None:
        """End it."""
        self.connection.stop()
        self._pool.shutdown()

    def _ticks(self) -> Iterator[int]:
        yield from range(int(PATIENCE / 0.005))

    def _receive(self, messages: Sequence[Message]) -> None:
        with self._changed:
            self.batches += 1
            self.received += messages
            self._changed.notify_all()
