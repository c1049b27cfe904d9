"""Sockets in folders with long paths."""

from __future__ import annotations

import socket
from pathlib import Path

from devices.sockets import short_address


def test_a_socket_can_lie_deeper_than_an_address_is_long(tmp_path: Path) -> None:
    """Linux takes 107 bytes; one binds and connects there all the same."""
    folder = tmp_path.joinpath(*["a-folder-with-a-long-name"] * 8)
    folder.mkdir(parents=True)
    path = folder / "daemon.sock"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        with short_address(path) as address:
            assert len(address) < 108 < len(str(path))
            listener.bind(address)
        listener.listen()
        assert path.is_socket()
        with short_address(path) as address:
            client.connect(address)
