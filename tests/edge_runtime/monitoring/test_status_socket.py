"""The status socket, with good and bad clients."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.sockets import short_address
from edge_runtime.errors import EnvironmentFault
from edge_runtime.monitoring.status_socket import StatusSocket, ask

LARGE = b"x" * 4_000_000  # more than the kernel keeps for a client that does not read


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Return the path of a socket that answers."""
    server = StatusSocket(tmp_path / "daemon.sock", lambda: LARGE, lambda work: work())
    server.open()
    yield tmp_path / "daemon.sock"
    server.close()
    assert list(tmp_path.iterdir()) == []


def test_everybody_who_asks_gets_one_whole_answer(path: Path) -> None:
    """Again and again; the socket is for its owner alone."""
    assert [ask(path) == LARGE for _ in range(5)] == [True] * 5
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_clients_that_do_not_read_or_hang_up_hold_nobody_up_for_long(path: Path) -> None:
    """Each costs those behind it a second at most."""
    silent = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    for client in silent:
        with short_address(path) as address:
            client.connect(address)
    silent[0].close()
    assert ask(path) == LARGE
    for client in silent:
        client.close()


def test_nobody_there_is_no_error(tmp_path: Path) -> None:
    """No folder, no socket, and a socket that a killed daemon left: nobody answers."""
    assert ask(tmp_path / "none" / "daemon.sock") is None
    assert ask(tmp_path / "daemon.sock") is None
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "daemon.sock"))
    assert ask(tmp_path / "daemon.sock") is None
    server = StatusSocket(tmp_path / "daemon.sock", lambda: b"{}", lambda work: work())
    server.open()
    assert ask(tmp_path / "daemon.sock") == b"{}"
    server.close()


def test_a_daemon_that_hangs_up_without_a_word_is_named(tmp_path: Path) -> None:
    """An empty answer is an error of its own."""
    server = StatusSocket(tmp_path / "daemon.sock", lambda: b"", lambda work: work())
    server.open()
    with pytest.raises(EnvironmentFault) as caught:
        ask(tmp_path / "daemon.sock")
    assert caught.value.code == "E-DAEMON-SILENT"
    server.close()


def test_a_socket_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The error says where; closing what was never opened does nothing."""
    server = StatusSocket(tmp_path / "none" / "daemon.sock", lambda: b"", lambda work: work())
    with pytest.raises(EnvironmentFault) as caught:
        server.open()
    assert caught.value.code == "E-FILE-WRITE"
    server.close()
