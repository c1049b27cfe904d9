"""From what the daemon sees at a moment to its health message."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from edge_runtime.messaging.json_payload import SCHEMA_VERSION, rfc3339
from edge_runtime.messaging.link_health import LinkHealth
from edge_runtime.monitoring import machine
from edge_runtime.monitoring.assess import assess
from edge_runtime.monitoring.health import DaemonHealth, PipelineHealth
from edge_runtime.monitoring.last_error import ErrorNotes
from edge_runtime.monitoring.pulse import Pulses
from edge_runtime.monitoring.rates import RecentGrowth


@dataclass(frozen=True)
class Run:
    """What stays the same from start to end.

    Attributes:
        boot: Identifier of the run.
        began: When, monotonic seconds.
        version: Of edgeopt.
        interval_s: Seconds between two health messages.
        silence_s: Seconds without a usable reading that count as silence.
        unclean_starts: Runs before this one that ended without saying so.
    """

    boot: str
    began: float
    version: str
    interval_s: float
    silence_s: float
    unclean_starts: int = 0


@dataclass(frozen=True)
class Seen:
    """What the daemon's parts say of themselves; `PipelineHealth` without rates, which the reporter works out."""

    link: LinkHealth
    pipelines: Mapping[str, PipelineHealth]
    unacknowledged: int = 0
    duplicates: int = 0
    retained: int = 0
    unclaimed: int = 0
    unreadable_acks: int = 0
    refused_subscriptions: tuple[str, ...] = ()
    state_files_damaged: int = 0
    fallbacks: int = 0


class HealthReporter:
    """Makes health messages; any thread may ask.

    Args:
        run: What stays the same.
        look: Asks the daemon's parts, at monotonic seconds.
        pulses: The threads' signs of life.
        errors: What has been logged as an error.
    """

    def __init__(self, run: Run, look: Callable[[float], Seen], pulses: Pulses, errors: ErrorNotes) -> None:
        self._run, self._look = run, look
        self._pulses, self._errors = pulses, errors
        self._growth: dict[tuple[str, str], RecentGrowth] = {}
        self._lock = threading.Lock()

    def report(self) -> DaemonHealth:
        """Return how the daemon is doing now."""
        now, run = time.monotonic(), self._run
        seen = self._look(now)
        with self._lock:
            hung = self._pulses.hung(now)
            pipelines = {name: self._with_rates(name, one, now) for name, one in seen.pipelines.items()}
        health = DaemonHealth(
            v=SCHEMA_VERSION,
            ts=rfc3339(time.time()),
            boot=run.boot,
            state="ok",
            reasons=(),
            version=run.version,
            uptime_s=round(now - run.began, 3),
            interval_s=run.interval_s,
            silence_s=run.silence_s,
            connects=seen.link.connects,
            unacknowledged=seen.unacknowledged,
            duplicates=seen.duplicates,
            retained=seen.retained,
            unclaimed=seen.unclaimed,
            unreadable_acks=seen.unreadable_acks,
            refused_subscriptions=seen.refused_subscriptions,
            state_files_damaged=seen.state_files_damaged,
            fallbacks=seen.fallbacks,
            unclean_starts=run.unclean_starts,
            hung=hung,
            errors=self._errors.count,
            last_error=self._errors.last,
            link=seen.link,
            machine=machine.observe(),
            pipelines=pipelines,
        )
        state, reasons = assess(health)
        return replace(health, state=state, reasons=reasons)

    def _with_rates(self, name: str, pipeline: PipelineHealth, now: float) -> PipelineHealth:
        _, readings = self._grown(name, "readings", now, pipeline.readings)
        _, predictions = self._grown(name, "predictions", now, pipeline.predictions)
        dropped, _ = self._grown(name, "dropped", now, pipeline.dropped_in_all())
        return replace(pipeline, readings_per_s=readings, predictions_per_s=predictions, dropped_lately=dropped)

    def _grown(self, name: str, what: str, now: float, total: int) -> tuple[int, float | None]:
        growth = self._growth.setdefault((name, what), RecentGrowth(self._run.began))
        return growth.look(now, total)


def summary(health: DaemonHealth) -> str:
    """Return one line about everything, for `systemctl status`."""
    pipelines = "; ".join(
        f"{name} v{one.model_version} {one.predictions_per_s or 0:.1f} predictions/s, queue {one.queue_depth}"
        for name, one in health.pipelines.items()
    )
    return f"{health.state}: {health.reasons[0] if health.reasons else pipelines}"
