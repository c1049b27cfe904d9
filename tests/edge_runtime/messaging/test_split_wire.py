"""What only the fast wire has: its hook, its clock, its limits, and TLS read to the end."""

from __future__ import annotations

import logging
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from scripted_peer import DISCONNECT, HOST, PATIENCE, Line, Peer, packet

from edge_runtime.messaging import paho_wire, wire_choice
from edge_runtime.messaging.broker import Broker
from edge_runtime.messaging.connection import Connection, Message, Session
from edge_runtime.messaging.split_wire import SplitWire

RECORDS = 400


@pytest.fixture
def fresh_choice() -> Iterator[None]:
    """Try the hook anew, and again for the tests after this one."""
    wire_choice.fault_of_split.cache_clear()
    yield
    wire_choice.fault_of_split.cache_clear()


@pytest.mark.usefixtures("fresh_choice")
def test_the_hook_works_with_the_installed_paho(line: Callable[..., Line]) -> None:
    """Connections take the fast wire."""
    assert wire_choice.fault_of_split() is None
    assert line().connection.health().wire == "split"


def ignoring(client: paho_wire._HookedClient) -> object:
    """Be a paho that calls the hook and uses a socket of its own all the same."""
    create = super(paho_wire._HookedClient, client)._create_socket
    client.hook(create)
    return create()


@pytest.mark.usefixtures("fresh_choice")
@pytest.mark.parametrize("broken", ["never called", "called and ignored"])
def test_without_the_hook_paho_carries_the_messages_and_the_log_says_so_once(
    line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    """A paho that renamed its private function, or no longer heeds what it returns, is noticed before it matters."""
    hooked = paho_wire._HookedClient
    if broken == "never called":
        monkeypatch.delattr(hooked, "_create_socket")
    else:
        monkeypatch.setattr(hooked, "_create_socket", ignoring)
    one = line()
    again = line()
    health = one.connection.health()
    assert (health.wire, bool(health.wire_fault)) == ("paho", True)
    assert [record.levelno for record in caplog.records if "paho" in record.message] == [logging.WARNING]
    again.talk.publish("t", b"by paho")
    assert again.wait_for(1)[0].payload == b"by paho"


def opened(peer: Peer, keepalive: int) -> SplitWire:
    """Return an open wire, its CONNECT not yet answered."""
    wire = SplitWire(Broker(HOST, peer.port, keepalive_seconds=keepalive), Session("client"), "3.1.1")
    wire.open()
    return wire


@pytest.mark.parametrize(("keepalive", "noticed"), [(1, 2), (2, 3), (30, 45), (600, 900)])
def test_silence_is_noticed_within_one_and_a_half_keepalives_and_a_second(
    peer: Peer, keepalive: int, noticed: int
) -> None:
    """By the wire's own clock, which is told the time here: first a ping, then the end, never asleep beyond either."""
    wire = opened(peer, keepalive)
    now = begin = time.monotonic()
    while wire.loss is None:
        pause = wire.tick(now)
        assert 0 <= pause <= 1
        now += max(pause, 0.001)
    assert noticed - 0.1 <= now - begin <= 1.5 * keepalive + 1
    wire.close(goodbye=False)


@pytest.mark.parametrize("body", [b"\x8e", b"\x8e\x00"])
def test_a_take_over_is_known_in_its_short_forms(peer: Peer, line: Callable[..., Line], body: bytes) -> None:
    """As mosquitto writes it; paho 2.0 and 2.1 need more than two bytes to see the reason."""
    one = line(protocol="5")
    one.talk.send(packet(DISCONNECT, body))
    one.talk.close()
    peer.accept().welcome()
    assert one.connection.health().duplicate_client


def test_a_packet_beyond_the_limit_ends_the_connection(peer: Peer, line: Callable[..., Line]) -> None:
    """It is not waited for, and its size fills no memory."""
    one = line(packet_limit=1000)
    one.talk.send(b"\x30\xff\xff\x3f")
    again = peer.accept().welcome()
    again.publish("t", b"x" * 900)
    one.wait_for(1)
    assert one.connection.health().faults == {"packet longer than the limit": 1}


def test_more_than_the_network_takes_stays_with_its_supply(line: Callable[..., Line]) -> None:
    """A peer that reads nothing fills a bounded buffer; once it reads, everything comes."""
    one = line()
    payload = bytes(100_000)
    for _ in range(100):
        assert one.connection.publish("out", payload, qos=0)
    published = one.talk.published(100)
    assert all(p.payload == payload for p in published)
    assert one.connection.flush(PATIENCE)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return a file with a self-signed certificate for loopback and its key."""
    file = tmp_path / "server.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", f"subjectAltName=IP:{HOST}"]
    subprocess.run([*made, "-keyout", file, "-out", tmp_path / "cert.pem"], check=True, capture_output=True)
    file.write_text(file.read_text() + (tmp_path / "cert.pem").read_text())
    return file


def test_tls_is_drained_until_it_would_block(certificate: Path) -> None:
    """A burst of many TLS records is read in a few turns, not one record a turn; outgoing messages pass as well."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    sent, batches = threading.Event(), []

    def receive(messages: Sequence[Message]) -> None:
        assert sent.wait(PATIENCE)
        batches.append(len(messages))
        if sum(batches) == RECORDS:
            connection.publish("done", b"x" * 50_000)

    with Peer(tls=server) as peer:
        context = ssl.create_default_context(cafile=certificate)
        connection = Connection(Broker(HOST, peer.port), Session("client", tls=context), on_messages=receive)
        thread = threading.Thread(target=connection.start)
        thread.start()
        talk = peer.accept().welcome()
        for number in range(RECORDS):
            talk.publish("t", b"%d" % number)
        sent.set()
        done = talk.published(1)[0]
        talk.acknowledge([done.mid])
        assert connection.flush(PATIENCE)
        thread.join(PATIENCE)
        connection.stop()
    assert (sum(batches), done.payload) == (RECORDS, b"x" * 50_000)
    assert len(batches) < RECORDS / 20
