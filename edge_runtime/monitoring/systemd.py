"""What systemd is told: ready, alive, stopping, and one line for `systemctl status` (sd_notify(3))."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)


class Notifier:
    """Sends datagrams to the service manager; without one it says nothing to nobody.

    Args:
        environment: Where the manager put its address and the watchdog's time: the process's environment.

    Attributes:
        watchdog_seconds: Silence after which systemd kills this process, None where it does not watch.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # A name that begins with @ lies in the abstract namespace, whose names begin with a zero byte.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_seconds = _watchdog_seconds(environment) if address else None

    def say(self, **fields: str | int) -> None:
        """Send one datagram, such as ``say(READY=1, STATUS="serving")``; a line feed ends a value."""
        if not self._address:
            return
        lines = [f"{name}={str(value).partition(chr(10))[0]}" for name, value in fields.items()]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.settimeout(1.0)  # a manager that does not read must not stop the daemon
                manager.connect(self._address)
                manager.sendall("\n".join(lines).encode())
        except OSError as error:
            log.warning("systemd could not be told %s: %s", " ".join(fields), error)

    def extend_start(self, seconds: float) -> None:
        """Ask for so many seconds more before the start counts as failed."""
        self.say(EXTEND_TIMEOUT_USEC=round(seconds * 1e6))


class Watchdog:
    """Tells systemd that the process is alive, as long as all of its threads are.

    Args:
        notifier: Who tells it.
    """

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._hung: tuple[str, ...] = ()

    def feed(self, hung: tuple[str, ...], status: str) -> None:
        """Say that all is alive, with a line about how it is; only the line where a thread hangs.

        Args:
            hung: Names of the threads that do not move.
            status: For `systemctl status`.
        """
        if hung and hung != self._hung:
            log.error("no movement in %s: systemd's watchdog is not fed until there is", ", ".join(hung))
        self._hung = hung
        if self._notifier.watchdog_seconds and not hung:
            self._notifier.say(WATCHDOG=1, STATUS=status)
        else:
            self._notifier.say(STATUS=status)


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """Return the manager's limit, None where there is none or it is meant for another process (sd_watchdog_enabled)."""
    time, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not time.isdecimal() or int(time) == 0 or process not in {"", str(os.getpid())}:
        return None
    return int(time) / 1e6
