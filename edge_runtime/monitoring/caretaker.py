"""Everything the daemon tells about itself, in one place: health, the status socket, systemd."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from edge_runtime.messaging.json_payload import encode
from edge_runtime.monitoring.health import DaemonHealth
from edge_runtime.monitoring.last_error import ErrorNotes
from edge_runtime.monitoring.pulse import Pulses
from edge_runtime.monitoring.reporter import HealthReporter, Run, Seen, summary
from edge_runtime.monitoring.status_socket import StatusSocket
from edge_runtime.monitoring.systemd import Notifier, Watchdog

_HUNG_SECONDS = 30.0  # without systemd's own limit
_ATTEMPT_SECONDS = 30.0  # longer than an attempt to connect takes
_FEEDS = 3  # of the watchdog within its time


class Caretaker:
    """Watches over one run of the daemon.

    Args:
        run: What stays the same.
        look: Asks the daemon's parts, at monotonic seconds.
        socket: Where `edge-runtime status` asks.
        supervise: Runs a thread's loop and sees to errors nobody foresaw.

    Attributes:
        pulses: The threads' signs of life; a thread is added before it starts.
    """

    def __init__(
        self, run: Run, look: Callable[[float], Seen], socket: Path, supervise: Callable[[Callable[[], None]], None]
    ) -> None:
        self._notifier = Notifier()
        self._watchdog = Watchdog(self._notifier)
        self.pulses = Pulses(self._notifier.watchdog_seconds or _HUNG_SECONDS)
        self._errors = ErrorNotes()
        self._reporter = HealthReporter(run, look, self.pulses, self._errors)
        self._status = StatusSocket(socket, lambda: encode(self.report()), supervise)
        watchdog = self._notifier.watchdog_seconds
        self._tick = min(run.interval_s, watchdog / _FEEDS) if watchdog else run.interval_s

    @property
    def tick_seconds(self) -> float:
        """Return how often `feed` wants to be called."""
        return self._tick

    def report(self) -> DaemonHealth:
        """Return how the daemon is doing; callable from any thread."""
        return self._reporter.report()

    def feed(self) -> DaemonHealth:
        """Tell systemd that the daemon is alive, as long as it is, and return how it is doing."""
        health = self.report()
        self._watchdog.feed(health.hung, summary(health))
        return health

    def begins(self) -> None:
        """Begin to note errors, and say that models are being loaded."""
        logging.getLogger("edge_runtime").addHandler(self._errors)
        self._notifier.say(STATUS="loading models and trying their golden samples")

    def opens(self) -> None:
        """Begin to answer `edge-runtime status`.

        Raises:
            EnvironmentFault: E-FILE-WRITE, the socket cannot be made there.
        """
        self._status.open()

    def waits(self, reason: str, seconds: float) -> None:
        """Say that the daemon waits for the broker and why, so many seconds until the next attempt."""
        self._notifier.extend_start(seconds + _ATTEMPT_SECONDS)
        self._notifier.say(STATUS=f"waiting for the broker: {reason}")

    def is_ready(self) -> None:
        """Say that models have met their golden samples and the broker has accepted the client."""
        self._notifier.say(READY=1)

    def stops(self) -> None:
        """Say that the daemon finishes what was taken in."""
        self._notifier.say(STOPPING=1, STATUS="finishing what was taken in")

    def ends(self) -> None:
        """Answer nobody any more; harmless where nobody was answered."""
        self._status.close()
        logging.getLogger("edge_runtime").removeHandler(self._errors)
