"""A mosquitto that the faults are done to."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from brokers import HOST, find_program, free_port, wait_until_it_accepts

CLIENT = "edge-runtime-plant-gateway"
_PATIENCE = 30.0


class KeptBroker:
    """Mosquitto with a database, and a log of who connects.

    Args:
        folder: For its files.
        max_queued: Most messages it keeps for an absent subscriber, 0 for no bound; it drops what is beyond silently.
        saving: Whether it saves its database at every change instead of at its end.
    """

    def __init__(self, folder: Path, *, max_queued: int = 0, saving: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._database = folder / "mosquitto.db"
        self._log = folder / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._config = folder / "mosquitto.conf"
        options = [
            f"listener {self.port} {HOST}",
            f"max_queued_messages {max_queued}",
            "user root",
            *(f"log_type {kind}" for kind in ("error", "warning", "notice")),
            "persistence true",
            f"persistence_location {folder}/",
            # At every change: this keeps what can be kept over a SIGKILL, and makes the broker slow.
            *(("autosave_on_changes true", "autosave_interval 1") if saving else ()),
            "allow_anonymous true",
        ]
        self._config.write_text("\n".join(options) + "\n", encoding="utf-8")

    def start(self) -> None:
        """Start and return once clients can connect."""
        with self._log.open("ab") as log:
            program = find_program("mosquitto") or "mosquitto"
            self._process = subprocess.Popen([program, "-c", self._config], stdout=log, stderr=log)
        wait_until_it_accepts(self.port)

    def stop(self) -> None:
        """Stop in order, the database saved; harmless when it is not running."""
        self._end(signal.SIGTERM)

    def kill(self, *, forget: bool = False) -> None:
        """End it as a power cut would, on request with the loss of its database."""
        self._end(signal.SIGKILL)
        if forget:
            self._database.unlink(missing_ok=True)

    def pause(self) -> None:
        """Let it hang, its connections open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def connects(self, client: str = CLIENT) -> int:
        """Return how often a client has connected."""
        return self._log.read_text(encoding="utf-8", errors="replace").count(f" as {client} (")

    def seconds_until_connect(self, before: int, client: str = CLIENT, patience: float = _PATIENCE) -> float | None:
        """Return how long it took the client to connect once more than `before` times, None where it did not."""
        begin = time.monotonic()
        while self.connects(client) <= before:
            if time.monotonic() - begin > patience:
                return None
            time.sleep(0.01)
        return time.monotonic() - begin

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            if number != signal.SIGKILL:
                self._process.send_signal(signal.SIGCONT)
            self._process.wait(_PATIENCE)
            self._process = None


def version() -> str:
    """Return the broker's version."""
    program = find_program("mosquitto")
    if not program:
        return "none"
    said = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
    return said.splitlines()[0] if said else "unknown"
