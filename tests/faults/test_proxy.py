"""The fault proxy does what it is asked to, and nothing else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from faults.ledger import Key, Ledger
from faults.packets import (
    Connack,
    DelaySuback,
    HoldAcknowledgements,
    PubackFaults,
    RepeatPublish,
    Splitter,
    disconnect,
    packet_size,
    topic,
)
from faults.proxy import HOST, Proxy
from faults.witness import Witness

PUBACK_7 = bytes([0x40, 2, 0, 7])


def publish(where: str, payload: bytes, identifier: int) -> bytes:
    """Return a PUBLISH packet of QoS 1."""
    rest = len(where).to_bytes(2, "big") + where.encode() + identifier.to_bytes(2, "big") + payload
    size, length = len(rest), bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes([0x32, *length, size]) + rest


class Echo:
    """A server that sends back what it gets and keeps it."""

    def __init__(self) -> None:
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()

    def _run(self) -> None:
        try:
            while True:
                one, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(one,), daemon=True).start()
        except OSError:
            return

    @staticmethod
    def _serve(one: socket.socket) -> None:
        try:
            while data := one.recv(4096):
                one.sendall(data)
        except OSError:
            return


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """Return a proxy in front of an echo."""
    echo = Echo()
    one = Proxy(echo.port, seed=1)
    yield one
    one.close()
    echo.close()


def ask(proxy: Proxy, data: bytes, wanted: int) -> bytes:
    """Send through the proxy and return at most `wanted` bytes of what comes back; less where it ended or reset."""
    with socket.create_connection((HOST, proxy.port), timeout=5) as client:
        client.sendall(data)
        got = b""
        try:
            while len(got) < wanted and (more := client.recv(wanted - len(got))):
                got += more
        except ConnectionResetError:
            return got + b"RST"
        return got


def test_packets_pass_unchanged_however_they_are_cut(proxy: Proxy) -> None:
    """Without faults, and in slices of one byte, the bytes are the same."""
    packets = publish("a", b"x" * 300, 1) + PUBACK_7
    assert ask(proxy, packets, len(packets)) == packets
    proxy.up.slice = proxy.down.slice = 1
    assert ask(proxy, packets, len(packets)) == packets


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_it_ends_after_n_bytes(proxy: Proxy, n: int) -> None:
    """By FIN, exactly n bytes come; by RST, the client hears of it."""
    proxy.down.close_after = n
    packet = publish("a", b"xyz", 1)
    assert ask(proxy, packet, 99) == packet[:n]
    proxy.down.reset = True
    assert ask(proxy, packet, 99)[-3:] == b"RST"


def test_a_black_hole_swallows_and_closes_nothing(proxy: Proxy) -> None:
    """Bytes vanish while it is blocked; when the client gives up, the moment is noted."""
    with socket.create_connection((HOST, proxy.port), timeout=0.3) as client:
        client.sendall(PUBACK_7)
        assert client.recv(4) == PUBACK_7
        proxy.blocked.set()
        client.sendall(PUBACK_7)
        with pytest.raises(TimeoutError):
            client.recv(4)
        assert proxy.client_left() is None
    end = time.monotonic() + 5
    while proxy.client_left() is None and time.monotonic() < end:
        time.sleep(0.01)
    assert proxy.client_left() is not None


def test_rules_change_the_packets_they_are_for() -> None:
    """Each rule, on a packet it is for and on one it is not for."""
    lost = PubackFaults(lose=2)
    assert [len(lost("down", PUBACK_7)) for _ in range(4)] == [1, 0, 1, 0]
    assert (lost.seen, lost.faults, len(lost("up", PUBACK_7))) == (4, 2, 1)
    assert len(PubackFaults(repeat=1)("down", PUBACK_7)) == 2
    assert PubackFaults(delay=1, seconds=2)("down", PUBACK_7) == [(2, PUBACK_7)]
    hold = HoldAcknowledgements()
    hold.close()
    assert hold("down", PUBACK_7) == []
    hold.open()
    assert hold("down", PUBACK_7) == [(0.0, PUBACK_7)]
    assert len(RepeatPublish("down", 1)("down", publish("a", b"", 1))) == 2
    assert DelaySuback(1.0)("down", b"\x90\x03\x00\x01\x01") == [(1.0, b"\x90\x03\x00\x01\x01")]
    refuse = Connack(5, times=1)
    assert refuse("down", b"\x20\x02\x01\x00") == [(0.0, b"\x20\x02\x00\x05")]
    assert refuse("down", b"\x20\x02\x01\x00") == [(0.0, b"\x20\x02\x01\x00")]
    assert (disconnect(), disconnect(0x97)) == (b"\xe0\x00", b"\xe0\x02\x97\x00")


def test_packets_are_cut_and_read() -> None:
    """A long length, one not complete, and the topic."""
    long = publish("some/where", b"x" * 20_000, 1)
    assert (packet_size(long), packet_size(b"\x30"), packet_size(b"\x30\xff")) == (len(long), 0, 0)
    splitter = Splitter()
    assert list(splitter.feed(long[:100])) == []
    assert list(splitter.feed(long[100:] + PUBACK_7)) == [long, PUBACK_7]
    assert topic(long) == "some/where"


def test_the_witness_tells_whose_loss_it_is() -> None:
    """The broker's: never delivered, or acknowledged and lost. The daemon's: done with, and no prediction sent."""
    witness, ledger = Witness(), Ledger()
    key = Key("sum", "s", "b")
    for number in (1, 2, 3):
        ledger.sent(number, "s")
        ledger.acknowledged(number)
    for number in (2, 3):
        witness("down", publish("sensors/s/reading", b'{"a":%d,"b":0}' % number, 7))
        witness("up", PUBACK_7)
    message = b'{"pipeline":"sum","stream":"s","boot":"b","seq":1,"value":2.0}'
    witness("up", publish("edgeopt/plant/gateway/pred/sum/s", message, 7))
    witness("down", PUBACK_7)
    blame = witness.blame(ledger.verdict(), end_to_end=False)
    assert (blame.daemon, blame.broker) == ([3], [1, 2])
    assert witness.blame(ledger.verdict(), end_to_end=True).daemon == [2, 3]
    ledger.received({**key._asdict(), "seq": 3, "value": 3.0})
    assert witness.blame(ledger.verdict(), end_to_end=False).gaps_by_daemon == [(key, 2)]
