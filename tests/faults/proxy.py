"""A TCP proxy between a client and its broker that breaks what passes, knowing MQTT packets."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass

from faults.packets import Direction, Rule, Splitter, everything

HOST = "127.0.0.1"
_LINGER_AND_RESET = struct.pack("ii", 1, 0)


@dataclass
class Stream:
    """What happens to the bytes of one direction; may be changed while bytes flow.

    Attributes:
        latency: Seconds each chunk waits.
        jitter: Seconds added at random, at most this.
        rate: Bytes per second, 0 for no bound.
        slice: Most bytes in one send, 0 for no bound.
        close_after: Ends each connection after so many bytes, None for never.
        reset: Whether that end is a RST instead of a FIN.
        slow_close: Seconds until the other side hears that this one has gone.
    """

    latency: float = 0.0
    jitter: float = 0.0
    rate: float = 0.0
    slice: int = 0
    close_after: int | None = None
    reset: bool = False
    slow_close: float = 0.0


class Link:
    """One client's connection and the proxy's own to the broker.

    Attributes:
        began: When the client connected, monotonic seconds.
        client_gone: When it closed the connection, None while it has not.
    """

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._ends: dict[Direction, tuple[socket.socket, socket.socket]] = {
            "up": (client, server),
            "down": (server, client),
        }
        self._sending: dict[Direction, threading.Lock] = {"up": threading.Lock(), "down": threading.Lock()}
        self._random = random.Random(proxy.draw())
        self._passed: dict[Direction, int] = {"up": 0, "down": 0}
        self.began = time.monotonic()
        self.client_gone: float | None = None
        for direction in self._ends:
            threading.Thread(target=self._pump, args=(direction,), daemon=True).start()

    def hang_up(self, direction: Direction) -> None:
        """End the side that this direction comes from; the other one hears of it after `slow_close` seconds."""
        with contextlib.suppress(OSError):
            self._ends[direction][0].shutdown(socket.SHUT_RDWR)

    def end(self, *, reset: bool = False) -> None:
        """Close both sides, on request by RST."""
        for end, _ in self._ends.values():
            with contextlib.suppress(OSError):
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_AND_RESET)
                    end.close()
                    continue
                end.shutdown(socket.SHUT_RDWR)
                end.close()

    def inject(self, direction: Direction, packet: bytes) -> None:
        """Send a packet that neither side has sent."""
        self._send(direction, packet)

    def _pump(self, direction: Direction) -> None:
        source, _ = self._ends[direction]
        splitter = Splitter()
        with contextlib.suppress(OSError, ValueError):  # closed meanwhile
            while data := self._receive(source):
                if self._proxy.blocked.is_set():
                    continue  # a black hole: the bytes are gone and nobody is told
                for packet in splitter.feed(data):
                    self._forward(direction, packet)
        if direction == "up":
            self.client_gone = time.monotonic()
        if not self._proxy.blocked.is_set():
            time.sleep((self._proxy.up if direction == "up" else self._proxy.down).slow_close)
            self.end()

    @staticmethod
    def _receive(source: socket.socket) -> bytes:
        """Wait for bytes; not inside recv, which would keep a socket alive that another thread closes with a RST."""
        while not select.select([source], [], [], 0.02)[0]:
            pass
        return source.recv(65536)

    def _forward(self, direction: Direction, packet: bytes) -> None:
        for delay, data in self._proxy.rule(direction, packet):
            if delay:
                timer = threading.Timer(delay, self._send, (direction, data))
                timer.daemon = True
                timer.start()
            else:
                self._send(direction, data)

    def _send(self, direction: Direction, data: bytes) -> None:
        stream = self._proxy.up if direction == "up" else self._proxy.down
        _, target = self._ends[direction]
        with contextlib.suppress(OSError), self._sending[direction]:
            for begin in range(0, len(data), stream.slice or len(data)):
                piece = data[begin : begin + (stream.slice or len(data))]
                if stream.latency or stream.jitter:
                    time.sleep(stream.latency + self._random.uniform(0, stream.jitter))
                if stream.rate:
                    time.sleep(len(piece) / stream.rate)
                if stream.close_after is not None and self._passed[direction] + len(piece) >= stream.close_after:
                    target.sendall(piece[: stream.close_after - self._passed[direction]])
                    self.end(reset=stream.reset)
                    return
                target.sendall(piece)
                self._passed[direction] += len(piece)


class Proxy:
    """Listens on a port of its own and forwards to the broker's.

    Attributes:
        port: Where clients connect.
        up: Faults of the bytes from client to broker.
        down: Faults of the bytes from broker to client.
        rule: Faults of single packets.
        blocked: Set while it is a black hole: connections stay open and nothing passes.
        accepted: Moments, monotonic seconds, at which clients connected.
    """

    def __init__(self, target: int, seed: int = 0) -> None:
        self._target = target
        self._random = random.Random(seed)
        self._links: list[Link] = []
        self._refusing = threading.Event()
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.up, self.down = Stream(), Stream()
        self.rule: Rule = everything
        self.blocked = threading.Event()
        self.accepted: list[float] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def draw(self) -> int:
        """Return a seed for one link."""
        return self._random.getrandbits(32)

    def cut(self, *, reset: bool = False) -> None:
        """End all connections."""
        for link in self._links:
            link.end(reset=reset)
        self._links = [link for link in self._links if link.client_gone is None]

    def refuse(self) -> None:
        """End all connections, and at once each one that comes, until `admit`."""
        self._refusing.set()
        self.cut()

    def admit(self) -> None:
        """Let clients in again."""
        self._refusing.clear()
        self.blocked.clear()

    def inject(self, direction: Direction, packet: bytes) -> None:
        """Send a packet of our own on all connections."""
        for link in self._links:
            link.inject(direction, packet)

    def client_left(self) -> float | None:
        """Return when the client of the latest connection closed it, monotonic seconds."""
        return self._links[-1].client_gone if self._links else None

    def latest(self) -> Link | None:
        """Return the latest connection."""
        return self._links[-1] if self._links else None

    def close(self) -> None:
        """Stop listening and end everything."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.accepted.append(time.monotonic())
                if self._refusing.is_set():
                    client.close()
                    continue
                try:
                    server = socket.create_connection((HOST, self._target), timeout=10)
                except OSError:
                    client.close()
                    continue
                server.settimeout(None)
                for one in (client, server):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._links.append(Link(self, client, server))
