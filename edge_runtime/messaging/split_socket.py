"""The socket that paho is handed: packets that come often are taken out of the stream before paho sees it.

paho keeps the dialogue around the messages (CONNECT, TLS, the will, SUBSCRIBE, PING, QoS 2, DISCONNECT) and finds in
here what an ordinary socket would give it. Both write whole packets into one buffer, so that none is cut by another.
"""

from __future__ import annotations

import socket
import ssl  # deferred: see this package's __init__; nothing below looks into it on a plain socket
import time

from edge_runtime.messaging.packets import Malformed, Split, Splitter

_READ_BYTES = 64 << 10
_MOST_READ_BYTES = 1 << 20  # in one turn; then acknowledgements and timers have theirs
_DISCONNECT = 0xE0
_NOTHING = Split([], [], [])


class SplitSocket:
    """A connected socket between the network, paho and us; one thread at a time.

    Args:
        raw: Connected, with TLS where it is wanted; becomes this one's own.
        splitter: Of this connection.
        most_unsent: Bytes that may wait for the network before `room` is 0 and paho's packets are refused.

    Attributes:
        broken: Why nothing can be read or written any more, in words; None while the connection works.
        malformed: Which fault in the peer's bytes broke it, None where it was none.
        more: Whether `read` stopped although there may be more to read now.
        read_at: time.monotonic of the latest bytes from the peer.
        written_at: time.monotonic of the latest bytes to the peer.
        written: Bytes handed to the operating system (or TLS) since the beginning.
        queued: Bytes taken for sending since the beginning.
        farewell: Reason code of the DISCONNECT that the broker sent, 0 where it gave none (MQTT 5).
        linger: Seconds that `close` may take to send what waits.
    """

    def __init__(self, raw: socket.socket, splitter: Splitter, most_unsent: int) -> None:
        self.broken: str | None = None
        self.malformed: str | None = None
        self.more = False
        self.read_at = self.written_at = time.monotonic()
        self.written = self.queued = 0
        self.farewell = 0
        self.linger = 0.0
        self._raw, self._splitter, self._most_unsent = raw, splitter, most_unsent
        self._for_paho, self._unsent = bytearray(), bytearray()
        self._is_tls = hasattr(raw, "pending")
        self._waits_for_peer = False  # TLS must read before it can write on

    @property
    def room(self) -> int:
        """Return how many bytes may be added before the buffer counts as full."""
        return max(self._most_unsent - len(self._unsent), 0)

    @property
    def wants_write(self) -> bool:
        """Tell whether writability is worth waiting for."""
        return bool(self._unsent) and not self._waits_for_peer

    def read(self) -> Split:
        """Read until it would block and return what is ours; the rest waits for paho's `recv`."""
        chunks, size = [], 0
        self._waits_for_peer = self.more = False
        try:
            while not self.more:
                chunk = self._raw.recv(_READ_BYTES)
                if not chunk:
                    self._break("the broker closed the connection")
                    break
                chunks.append(chunk)
                size += len(chunk)
                self.more = size >= _MOST_READ_BYTES
                if len(chunk) < _READ_BYTES and not self._is_tls:
                    break  # a plain socket gives all it has; TLS gives one record of at most 16 KiB at a time
        except BlockingIOError:
            pass
        except OSError as error:
            if not (self._is_tls and isinstance(error, (ssl.SSLWantReadError, ssl.SSLWantWriteError))):
                self._break(f"the connection broke: {error.strerror or error}")
        if not chunks:
            return _NOTHING
        self.read_at = time.monotonic()
        return self._split(chunks[0] if len(chunks) == 1 else b"".join(chunks))

    def write(self, packets: bytes) -> None:
        """Take whole packets for sending; `flush` sends them."""
        self._unsent += packets
        self.queued += len(packets)

    def flush(self) -> None:
        """Send what waits, as far as that is possible without waiting."""
        if self.broken is not None:
            return
        try:
            while self._unsent:
                sent = self._raw.send(self._unsent)
                self.written += sent
                del self._unsent[:sent]
                self.written_at = time.monotonic()
        except BlockingIOError:
            pass
        except OSError as error:
            self._waits_for_peer = self._is_tls and isinstance(error, ssl.SSLWantReadError)
            if not self._waits_for_peer and not (self._is_tls and isinstance(error, ssl.SSLWantWriteError)):
                self._break(f"the connection broke: {error.strerror or error}")

    def give_up(self, reason: str) -> None:
        """Treat the connection as broken; paho learns it at its next read."""
        self._break(reason)

    def holds_for_paho(self) -> bool:
        """Tell whether paho has something to read, be it the end."""
        return bool(self._for_paho) or self.broken is not None

    def recv(self, size: int) -> bytes:
        """Give paho bytes of its packets."""
        if self._for_paho:
            taken = bytes(self._for_paho[:size])
            del self._for_paho[:size]
            return taken
        if self.broken is not None:
            raise ConnectionResetError(self.broken)
        raise BlockingIOError

    def send(self, packet: bytes) -> int:
        """Take one whole packet of paho's, or nothing of it."""
        if self.broken is not None:
            raise ConnectionResetError(self.broken)
        if not self.room and not self.linger:
            raise BlockingIOError
        self.write(packet)
        return len(packet)

    def pending(self) -> int:
        """Return how many bytes `recv` would give at once."""
        return len(self._for_paho)

    def fileno(self) -> int:
        """Return the descriptor to wait on; -1 once it is closed."""
        return self._raw.fileno()

    def setblocking(self, flag: bool) -> None:
        """Do as the socket does; paho switches blocking off once connected."""
        self._raw.setblocking(flag)

    def close(self) -> None:
        """Close, after sending what waits where `linger` allows time for it."""
        if self.broken is None and self._unsent and self.linger:
            try:
                self._raw.settimeout(self.linger)
                self._raw.sendall(self._unsent)
                self.written = self.queued
            except OSError:
                pass  # the peer is gone, and so are we
        self._raw.close()

    def _split(self, data: bytes) -> Split:
        try:
            split = self._splitter.split(data, self.read_at)
        except Malformed as fault:
            self.malformed = str(fault)
            self._break(f"the broker sent what is no MQTT: {fault}")
            return _NOTHING
        for packet in split.others:
            self._for_paho += packet
            if packet[0] == _DISCONNECT and len(packet) > 2:
                self.farewell = packet[2]
        return split

    def _break(self, reason: str) -> None:
        if self.broken is None:
            self.broken = reason


def tune(connection: socket.socket, silence_seconds: float) -> None:
    """Set what a message connection needs of TCP.

    Nagle's algorithm off: with it a prediction waits for the next reading's TCP acknowledgement. Measured at 1000
    messages a second: median 1.1 ms with it, 0.4 ms without. And an end to bytes that nobody acknowledges.

    Args:
        connection: A TCP socket, with or without TLS.
        silence_seconds: How long written bytes may stay unacknowledged before the link counts as broken.
    """
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(silence_seconds * 1000))
