"""The running daemon's answer to `edge-runtime status`: a socket in the state folder, for the daemon's user alone."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from devices.sockets import short_address
from edge_runtime.errors import EnvironmentFault

log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 1.0  # for a client that does not read; others wait behind it
_MOST_WAITING = 8  # clients beyond are refused by the kernel
_ANSWER_SECONDS = 10.0  # how long a client waits for the daemon
_LONGEST_ANSWER = 16 << 20


class StatusSocket:
    """Writes one answer to whoever connects, and closes; it reads nothing, so there is nothing to send it.

    Args:
        path: The socket; its folder exists, and the caller holds the lock on it, so that a socket found there is dead.
        answer: Makes the answer, on the socket's thread.
        supervise: Runs that thread's loop and sees to errors nobody foresaw.
    """

    def __init__(
        self, path: Path, answer: Callable[[], bytes], supervise: Callable[[Callable[[], None]], None]
    ) -> None:
        self._path, self._answer = path, answer
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._closing = False
        self._thread = threading.Thread(target=supervise, args=(self._serve,), name="status", daemon=True)

    def open(self) -> None:
        """Begin to answer.

        Raises:
            EnvironmentFault: E-FILE-WRITE, the socket cannot be made there.
        """
        try:
            self._path.unlink(missing_ok=True)
            with short_address(self._path) as address:
                self._listener.bind(address)
            os.chmod(self._path, 0o600)  # nobody can connect before `listen`
            self._listener.listen(_MOST_WAITING)
        except OSError as error:
            fix = "name a folder in [state] on a disk of this machine that the daemon's user may write"
            raise EnvironmentFault("E-FILE-WRITE", f"no socket can be made at {self._path}: {error}", fix) from error
        self._thread.start()

    def close(self) -> None:
        """Answer no more and remove the socket; harmless where it was never opened."""
        self._closing = True
        if self._thread.ident is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread out of `accept`, which `close` does not
            self._thread.join(2 * _PATIENCE_SECONDS)
            self._path.unlink(missing_ok=True)
        self._listener.close()

    def _serve(self) -> None:
        while not self._closing:
            try:
                client, _ = self._listener.accept()
            except OSError as error:
                if self._closing:
                    return
                log.error("the status socket takes no connection: %s", error)
                threading.Event().wait(_PATIENCE_SECONDS)  # no descriptors left: not a reason to spin
                continue
            with client, contextlib.suppress(OSError):  # a client that goes away is its own affair
                client.settimeout(_PATIENCE_SECONDS)
                client.sendall(self._answer())


def ask(path: Path) -> bytes | None:
    """Return the answer of the daemon behind a socket, None where none runs there.

    Raises:
        EnvironmentFault: E-FILE-READ, this user may not ask; E-DAEMON-SILENT, it is there and does not answer.
    """
    try:
        with short_address(path) as address, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_ANSWER_SECONDS)
            connection.connect(address)
            answer = _read_all(connection)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        return None
    except PermissionError as error:
        fix = "ask as the daemon's user or as root: put sudo before the command"
        raise EnvironmentFault("E-FILE-READ", f"{path} is closed to this user: {error.strerror}", fix) from error
    except OSError as error:
        raise _silent(path, str(error)) from error
    if not answer:
        raise _silent(path, "it closed the connection")
    return answer


def _read_all(connection: socket.socket) -> bytes:
    parts, size = [], 0
    while size < _LONGEST_ANSWER and (part := connection.recv(1 << 16)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _silent(path: Path, why: str) -> EnvironmentFault:
    fix = "see its log (`journalctl -u` with its unit's name), then restart it"
    return EnvironmentFault("E-DAEMON-SILENT", f"the daemon behind {path} gives no answer: {why}", fix)
