"""What is said to systemd, heard on real sockets."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.monitoring.systemd import Notifier, Watchdog


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """Return a service manager's socket and its address as systemd writes it."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@edge-runtime-test-{uuid.uuid4().hex}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(10.0)
        listener.bind(address.replace("@", "\0", 1) if request.param == "abstract" else address)
        yield listener, address


def test_each_word_is_one_datagram(manager: tuple[socket.socket, str]) -> None:
    """Fields are lines; what a value says after a line feed could be taken for another field and is left out."""
    listener, address = manager
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.say(READY=1, STATUS="serving\nSTOPPING=1")
    assert listener.recv(4096) == b"READY=1\nSTATUS=serving"
    notifier.extend_start(2.5)
    assert listener.recv(4096) == b"EXTEND_TIMEOUT_USEC=2500000"


def test_the_watchdog_is_fed_as_long_as_nothing_hangs(manager: tuple[socket.socket, str]) -> None:
    """With a thread that hangs only the reason is said, and the food stops; it goes on with the thread."""
    listener, address = manager
    watchdog = Watchdog(Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}))
    watchdog.feed((), "ok: a")
    watchdog.feed(("pipeline sum",), "failing: pipeline sum hangs")
    watchdog.feed((), "ok: b")
    assert [listener.recv(4096) for _ in range(3)] == [
        b"WATCHDOG=1\nSTATUS=ok: a",
        b"STATUS=failing: pipeline sum hangs",
        b"WATCHDOG=1\nSTATUS=ok: b",
    ]


def test_without_a_manager_nothing_is_said() -> None:
    """Started by hand there is no socket and no watchdog; a manager that has gone is no reason to stop."""
    quiet = Notifier({})
    quiet.say(READY=1)
    assert quiet.watchdog_seconds is None
    Notifier({"NOTIFY_SOCKET": "/nowhere/notify"}).say(READY=1)


@pytest.mark.parametrize(
    ("time", "process", "seconds"),
    [
        ("30000000", None, 30.0),
        ("30000000", str(os.getpid()), 30.0),
        ("30000000", "1", None),
        ("0", None, None),
        ("soon", None, None),
        (None, None, None),
    ],
)
def test_the_watchdog_is_this_process_s_own(time: str | None, process: str | None, seconds: float | None) -> None:
    """Its time counts only where it is a number and meant for this process."""
    given = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": time, "WATCHDOG_PID": process}
    assert Notifier({name: text for name, text in given.items() if text is not None}).watchdog_seconds == seconds
