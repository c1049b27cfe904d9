"""Health as evidence: one schema for the MQTT topic and `edge-runtime status --json`; docs/mqtt.md explains it all."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from edge_runtime.messaging.link_health import LinkHealth
from edge_runtime.messaging.outbox.contract import OutboxHealth
from edge_runtime.monitoring.last_error import LastError
from edge_runtime.monitoring.latency import RecentLatency
from edge_runtime.monitoring.machine import MachineHealth

State: TypeAlias = Literal["ok", "degraded", "failing"]


_NO_LOSS = "clock_jump"  # the clock of arrival went back: streams began anew


class PipelineHealth(msgspec.Struct, frozen=True):
    """How one pipeline is doing.

    Attributes:
        model: Name of the served model.
        model_version: Its version.
        variant: The form of it that is served.
        variant_reason: Why that one.
        variants_skipped: Forms that are not served although they come before it, and why not, by name.
        engine: What executes it.
        provider: What it is executed on: ``cpu``, ``cuda`` or ``tensorrt``.
        nodes: Executed nodes by provider, null on the processor or where that is not known.
        fallback: What is not executed on the provider it was meant for, and why; null where all is.
        streams: Streams kept.
        readings: Readings used since start.
        predictions: Predictions handed over for delivery since start.
        unchanged: Predictions not published because they say nothing new; see `[pipeline.report]`.
        faults: Readings that cannot be true, by field and reason; see `[pipeline.quality]`.
        rejected: Readings that could not be used, by reason.
        dropped: Readings and predictions lost before the outbox, by reason.
        queue_depth: Readings waiting for inference.
        reading_age_s: Seconds since the last usable reading, null before the first.
        prediction_age_s: Seconds since the last prediction, null before the first.
        inference_ms_p50: Median inference latency of the last 1024 batches, milliseconds, null before the first.
        inference_ms_p99: 99th percentile of the same.
        queue_ms_p50: The same for the wait in the queue, of the reading of a batch that has waited longest.
        queue_ms_p99: 99th percentile of it.
        decode_ms_p50: The same for decoding a batch and putting it into windows.
        decode_ms_p99: 99th percentile of it.
        delivery_ms_p50: The same from the outbox until a batch is safe as its delivery promises.
        delivery_ms_p99: 99th percentile of it.
        queue_oldest_age_s: Age of the reading that has waited longest, null where none waits or that is not known.
        readings_per_s: Usable readings a second over the last minute, null in the first second.
        predictions_per_s: Predictions a second over the last minute.
        dropped_lately: What was lost in the last minute, for all reasons together, the outbox's included.
        outbox: What waits for delivery, null without an outbox.
    """

    model: str
    model_version: int
    variant: str
    variant_reason: str
    variants_skipped: dict[str, str]
    engine: str
    provider: str
    nodes: dict[str, int] | None
    fallback: str | None
    streams: int
    readings: int
    predictions: int
    unchanged: int
    faults: dict[str, int]
    rejected: dict[str, int]
    dropped: dict[str, int]
    queue_depth: int
    reading_age_s: float | None
    prediction_age_s: float | None
    inference_ms_p50: float | None = None
    inference_ms_p99: float | None = None
    queue_ms_p50: float | None = None
    queue_ms_p99: float | None = None
    decode_ms_p50: float | None = None
    decode_ms_p99: float | None = None
    delivery_ms_p50: float | None = None
    delivery_ms_p99: float | None = None
    queue_oldest_age_s: float | None = None
    readings_per_s: float | None = None
    predictions_per_s: float | None = None
    dropped_lately: int = 0
    outbox: OutboxHealth | None = None

    def dropped_in_all(self) -> int:
        """Return everything lost since start, the outbox's drops included."""
        lost = sum(count for reason, count in self.dropped.items() if reason != _NO_LOSS)
        return lost + (sum(self.outbox.dropped.values()) if self.outbox else 0)


class DaemonHealth(msgspec.Struct, frozen=True):
    """How the whole daemon is doing.

    Attributes:
        v: Version of this message's schema.
        ts: When it was made, RFC 3339 UTC.
        boot: Changes with every start of the daemon.
        state: What follows from all the rest: `monitoring/assess.py` has the rules.
        reasons: Why the state is not ``ok``, the worst first, each with what to do.
        version: Of edgeopt.
        uptime_s: Seconds since start.
        interval_s: Seconds until the next health message; older than twice this means that the daemon hangs.
        silence_s: Seconds without a usable reading that count as silence of a pipeline's sensors.
        connects: Successful connects to the broker since start.
        unacknowledged: Messages the broker has not acknowledged yet.
        duplicates: Redelivered readings that were recognised and not used twice.
        retained: Retained readings that were ignored because they are old.
        unclaimed: Messages that no pipeline asked for, from a subscription of an earlier configuration.
        unreadable_acks: Messages on the acknowledgement topic that were none.
        refused_subscriptions: Topic filters that the broker does not let this client read.
        state_files_damaged: Saved states set aside because they were damaged.
        fallbacks: Pipelines whose model, or part of it, is not executed on the provider it was meant for.
        unclean_starts: Runs of the last ten minutes that ended without saying so: killed, crashed, power lost.
        hung: Threads that are at work and do not move.
        errors: Errors logged since start.
        last_error: The latest of them, null before the first.
        link: The connection to the broker.
        machine: What it runs on.
        pipelines: By name.
    """

    v: int
    ts: str
    boot: str
    state: State
    reasons: tuple[str, ...]
    version: str
    uptime_s: float
    interval_s: float
    silence_s: float
    connects: int
    unacknowledged: int
    duplicates: int
    retained: int
    unclaimed: int
    unreadable_acks: int
    refused_subscriptions: tuple[str, ...]
    state_files_damaged: int
    fallbacks: int
    unclean_starts: int
    hung: tuple[str, ...]
    errors: int
    last_error: LastError | None
    link: LinkHealth
    machine: MachineHealth
    pipelines: dict[str, PipelineHealth]


class PipelineCounters:
    """Numbers a running pipeline keeps; each number is written by one thread only and so needs no lock."""

    def __init__(self) -> None:
        self.readings = 0
        self.predictions = 0
        self.unchanged = 0
        self.rejected: dict[str, int] = {}
        self.dropped: dict[str, int] = {}
        self.last_reading: float | None = None
        self.last_prediction: float | None = None
        self.queue = RecentLatency()
        self.decode = RecentLatency()
        self.inference = RecentLatency()
        self.delivery = RecentLatency()

    def count_readings(self, used: int, rejected: Mapping[str, int]) -> None:
        """Count readings that were used, and by reason those that could not be."""
        if used:
            self.readings += used
            self.last_reading = time.monotonic()
        for reason, count in rejected.items():
            self.rejected[reason] = self.rejected.get(reason, 0) + count

    def count_predictions(self, count: int) -> None:
        """Count messages handed to the outbox: predictions, repetitions, notices of silence."""
        self.predictions += count

    def count_dropped(self, reason: str, count: int = 1) -> None:
        """Count readings or predictions that were lost."""
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    def latencies(self) -> dict[str, float | None]:
        """Return the percentiles of every stage under their names in `PipelineHealth`."""
        found: dict[str, float | None] = {}
        for stage in ("queue", "decode", "inference", "delivery"):
            recent: RecentLatency = getattr(self, stage)
            found[f"{stage}_ms_p50"], found[f"{stage}_ms_p99"] = recent.percentiles() or (None, None)
        return found
