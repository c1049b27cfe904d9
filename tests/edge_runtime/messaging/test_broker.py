"""Broker addresses, and what failures to connect are called."""

from __future__ import annotations

import socket
import threading

import pytest

from edge_runtime.errors import BadInput
from edge_runtime.messaging.broker import Broker, is_answering, no_connection, rejected

HERE = Broker("gateway", 1883, "user", "secret")


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("mqtt://127.0.0.1:1884", "127.0.0.1", 1884),
        ("mqtt://gateway", "gateway", 1883),
        ("mqtt://gateway/", "gateway", 1883),
        ("mqtt://[::1]:1883", "::1", 1883),
    ],
)
def test_addresses(url: str, host: str, port: int) -> None:
    """The port has its usual default, and an IPv6 address its brackets."""
    broker = Broker.parse(url)
    assert (broker.host, broker.port) == (host, port)
    assert Broker.parse(str(broker)) == broker


@pytest.mark.parametrize(
    "url",
    [
        *("", "gateway", "http://gateway", "mqtt://", "mqtt://gateway:0", "mqtt://gateway:99999", "mqtt://gateway:x"),
        *("mqtt://user:secret@gateway", "mqtts://gateway:8883", "mqtt://gateway/topic", "mqtt://a..b"),
    ],
)
def test_what_is_no_address(url: str) -> None:
    """Each is refused with the form to write, and no password is repeated."""
    with pytest.raises(BadInput) as caught:
        Broker.parse(url)
    assert caught.value.code == "E-BROKER-URL"
    assert "secret" not in str(caught.value)


def test_the_password_is_never_shown() -> None:
    """Neither in the address nor in the object's representation."""
    assert "secret" not in f"{HERE} {HERE!r}"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (no_connection(HERE, ConnectionRefusedError(111, "refused")), "E-BROKER-REFUSED"),
        (no_connection(HERE, TimeoutError("timed out")), "E-BROKER-UNREACHABLE"),
        (rejected(HERE, None), "E-BROKER-UNREACHABLE"),
        (rejected(HERE, "Not authorized"), "E-BROKER-AUTH"),
        (rejected(HERE, "Bad user name or password"), "E-BROKER-AUTH"),
        (rejected(HERE, "Server unavailable"), "E-BROKER-REJECTED"),
    ],
)
def test_failures_have_names(error: Exception, code: str) -> None:
    """Each names the broker; none is a traceback's words."""
    assert f"{code}: " in str(error)
    assert "gateway" in str(error)


def test_a_broker_that_is_there_waits_for_us() -> None:
    """Only a listener that keeps the connection open counts: not a closed port, nor one that hangs up at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = Broker("127.0.0.1", listener.getsockname()[1])
        assert is_answering(there)
        listener.accept()[0].close()  # of the first look

        def hang_up() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        assert not is_answering(there)
        thread.join()
    assert not is_answering(there)
