"""What state follows from the evidence: one pure function, so that anyone with a health message can check it.

failing   what the daemon is for does not happen: no broker, a refused subscription, a thread that hangs
degraded  it happens, with a loss or a risk that somebody should look at
ok        neither
"""

from __future__ import annotations

from collections.abc import Iterator

from edge_runtime.monitoring.health import DaemonHealth, PipelineHealth, State

CRASH_LOOP = 3  # runs of the last ten minutes that ended without saying so
_MINUTES_LEFT = 60.0  # an outbox that will be full sooner is worth a word while there is time to act


def assess(health: DaemonHealth) -> tuple[State, tuple[str, ...]]:
    """Return the state and the reasons for it, the worst first, each with what to do.

    Args:
        health: The evidence; its own state and reasons are not looked at.
    """
    failures, warnings = list(_failures(health)), list(_warnings(health))
    state: State = "failing" if failures else "degraded" if warnings else "ok"
    return state, (*failures, *warnings)


def _failures(health: DaemonHealth) -> Iterator[str]:
    for name in health.hung:
        yield f"{name} hangs: restart the daemon, and report what its log says"
    if not health.link.connected:
        why = f" ({health.link.last_reason})" if health.link.last_reason else ""
        yield f"no connection to the broker{why}: check the broker and the network; it is tried again and again"
    for topic in health.refused_subscriptions:
        yield f"the broker refuses to let this client read {topic}: allow it in the broker's access control list"


def _warnings(health: DaemonHealth) -> Iterator[str]:
    if health.link.duplicate_client:
        yield "another client uses this client id, and each throws the other out: give one another broker.client_id"
    if health.unclean_starts >= CRASH_LOOP:
        yield (
            f"{health.unclean_starts} runs of the last ten minutes ended without a clean stop: see the log before "
            "each start"
        )
    for name, pipeline in health.pipelines.items():
        yield from _pipeline_warnings(name, pipeline, health)
    machine = health.machine
    if machine.clock_synchronised is False:
        yield "nothing keeps the clock right, so time stamps may be wrong: let the machine reach a time server"
    if machine.throttling:
        yield f"the processor is held back ({', '.join(machine.throttling)}): check cooling and power supply"


def _pipeline_warnings(name: str, pipeline: PipelineHealth, health: DaemonHealth) -> Iterator[str]:
    age = health.uptime_s if pipeline.reading_age_s is None else pipeline.reading_age_s
    if age > health.silence_s:
        rejected = ", ".join(f"{count} {reason}" for reason, count in pipeline.rejected.items())
        yield (
            f"{name}: no usable reading for {age:.0f} s"
            + (f", rejected since start: {rejected}" if rejected else "")
            + ": check the sensor, its topic and what it sends"
        )
    if pipeline.dropped_lately:
        reasons = {**pipeline.dropped, **(pipeline.outbox.dropped if pipeline.outbox else {})}
        since = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        yield (
            f"{name}: {pipeline.dropped_lately} lost in the last minute, since start {since}: docs/mqtt.md says what "
            "each reason means"
        )
    outbox = pipeline.outbox
    if outbox and outbox.fault:
        yield f"{name}: predictions cannot be stored ({outbox.fault}): make room or repair the disk"
    if outbox and outbox.minutes_left is not None and outbox.minutes_left < _MINUTES_LEFT:
        yield f"{name}: the outbox is full in {outbox.minutes_left:.0f} minutes: bring the broker or subscriber back"
