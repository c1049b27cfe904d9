"""A private mosquitto on loopback, whose limits and queues get in nobody's way."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from edge_runtime.errors import EnvironmentFault

HOST = "127.0.0.1"

_PATIENCE = 30.0
_PAUSE = 0.02


class Mosquitto:
    """A mosquitto with its own port, configuration and log; a context manager.

    Args:
        folder: For its files.

    Raises:
        EnvironmentFault: E-LOAD-MOSQUITTO, on entering: it is not installed or does not come up.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    def __enter__(self) -> Mosquitto:
        program = _program()
        config = self._folder / "mosquitto.conf"
        lines = [
            f"listener {self.port} {HOST}",
            "allow_anonymous true",
            "user root",  # as root it would give up its rights, and with them this folder
            "max_inflight_messages 0",
            "max_queued_messages 0",
            "set_tcp_nodelay true",
            "log_type error",
            "log_type subscribe",
        ]
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        with (self._folder / "mosquitto.log").open("wb") as log:
            self._process = subprocess.Popen([program, "-c", config], stdout=log, stderr=log)
        end = time.monotonic() + _PATIENCE
        while not _accepts(self.port):
            if self._process.poll() is not None or time.monotonic() > end:
                raise _fault(f"mosquitto does not come up: {self._log()}", "see its message")
            time.sleep(_PAUSE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_PATIENCE)

    @property
    def process_id(self) -> int:
        """Return its process id."""
        return self._process.pid if self._process else 0

    def wait_for_subscribers(self, topic: str, count: int, processes: list[subprocess.Popen[bytes]]) -> None:
        """Return once so many clients have subscribed to a topic filter.

        Raises:
            EnvironmentFault: E-LOAD-PROGRAM, one of the programs has ended, or 30 s have passed.
        """
        end = time.monotonic() + _PATIENCE
        while sum(line.endswith(f" {topic}") for line in self._log().splitlines()) < count:
            ended = [process for process in processes if process.poll() is not None]
            if ended or time.monotonic() > end:
                what = (
                    f"it ended with exit status {ended[0].returncode}" if ended else "it did not subscribe within 30 s"
                )
                raise EnvironmentFault(
                    "E-LOAD-PROGRAM", f"a program under test does not work: {what}", "see its log, printed above"
                )
            time.sleep(_PAUSE)

    def _log(self) -> str:
        return (self._folder / "mosquitto.log").read_text(encoding="utf-8", errors="replace")


def version() -> str:
    """Return the version of the mosquitto that is installed, in its own words."""
    ended = subprocess.run([_program(), "-h"], capture_output=True, text=True, check=False)
    return ended.stdout.partition("\n")[0].strip()


def _program() -> str:
    # Debian puts it where only root's PATH looks.
    found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise _fault("mosquitto is not installed", "apt-get install mosquitto")
    return found


def _fault(what: str, fix: str) -> EnvironmentFault:
    return EnvironmentFault("E-LOAD-MOSQUITTO", what, fix)


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


def _accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=_PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True
