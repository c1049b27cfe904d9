"""Brokers for the tests: a private mosquitto, or the embedded one where mosquitto is not installed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Protocol

HOST = "127.0.0.1"
PATIENCE = 30.0


def find_program(name: str) -> str | None:
    """Return the path of one of mosquitto's programs; Debian puts the broker where only root's PATH looks."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")


MOSQUITTO = find_program("mosquitto")
MOSQUITTO_SUB = find_program("mosquitto_sub")


def new_broker(folder: Path) -> Broker:
    """Return a broker that is not started: mosquitto, or the embedded one where there is none."""
    if MOSQUITTO:
        return Mosquitto(folder)
    from edge_runtime.messaging.embedded_broker import EmbeddedBroker

    return EmbeddedBroker()


def free_port() -> int:
    """Return a loopback port that nothing listens on."""
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


def wait_until_it_accepts(port: int) -> None:
    """Return once something accepts TCP connections on the port."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection((HOST, port), timeout=PATIENCE).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < end, f"no broker came up on port {port}"
            time.sleep(0.02)


class Broker(Protocol):
    """What a test can do with any broker; it stays on its port when it is started again."""

    port: int

    def start(self) -> None:
        """Start and return once clients can connect."""

    def stop(self) -> None:
        """Stop in order; harmless when it is not running."""


class Mosquitto:
    """A mosquitto of its own, with its own port, configuration and log.

    Args:
        folder: For its files.
        persistence: Whether sessions and retained messages outlive a stop.
        credentials: A user and his password; None lets everybody in.
    """

    def __init__(self, folder: Path, *, persistence: bool = False, credentials: tuple[str, str] | None = None) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        lines = [
            f"listener {self.port} {HOST}",
            "max_queued_messages 0",  # by default mosquitto drops what exceeds 1000, and says Success all the same
            "user root",  # as root it would give up its rights, and with them this folder
            "log_type all",
            f"persistence {str(persistence).lower()}",
            f"persistence_location {folder}/",
            f"allow_anonymous {str(credentials is None).lower()}",
        ]
        if credentials:
            passwords = folder / "passwords"
            passwords.touch(mode=0o600)
            tool = find_program("mosquitto_passwd") or "mosquitto_passwd"
            subprocess.run([tool, "-b", passwords, *credentials], check=True, capture_output=True)
            lines.append(f"password_file {passwords}")
        self._config = folder / "mosquitto.conf"
        self._config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def __enter__(self) -> Mosquitto:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def log(self) -> str:
        """Return what it has logged, every packet included."""
        return (self._folder / "mosquitto.log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start and return once clients can connect."""
        with (self._folder / "mosquitto.log").open("ab") as log:
            program = find_program("mosquitto") or "mosquitto"
            self._process = subprocess.Popen([program, "-c", self._config], stdout=log, stderr=log)
        wait_until_it_accepts(self.port)

    def stop(self) -> None:
        """Stop in order, saving what is persistent; harmless when it is not running."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE)
            self._process = None
