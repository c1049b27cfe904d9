"""The health message: ages, counts and latencies instead of a heartbeat; docs/mqtt.md explains every field."""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec

from edge_runtime.monitoring.latency import RecentLatency


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
        streams: Streams seen.
        readings: Readings used since start.
        predictions: Predictions handed to the connection since start.
        unchanged: Predictions not published because they say nothing new; see `[pipeline.report]`.
        faults: Readings that cannot be true, by field and reason; see `[pipeline.quality]`.
        rejected: Readings that could not be used, by reason.
        dropped: Readings and predictions lost, by reason.
        queue_depth: Readings waiting for inference.
        reading_age_s: Seconds since the last usable reading, null before the first.
        prediction_age_s: Seconds since the last prediction, null before the first.
        inference_ms_p50: Median inference latency of the last 1024 predictions, milliseconds, null before the first.
        inference_ms_p99: 99th percentile of the same.
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
    inference_ms_p50: float | None
    inference_ms_p99: float | None


class DaemonHealth(msgspec.Struct, frozen=True):
    """How the whole daemon is doing.

    Attributes:
        v: Version of this message's schema.
        ts: When it was made, RFC 3339 UTC.
        boot: Changes with every start of the daemon.
        uptime_s: Seconds since start.
        interval_s: Seconds until the next health message; older than twice this means that the daemon hangs.
        connects: Successful connects to the broker since start.
        unacknowledged: Messages the broker has not acknowledged yet.
        duplicates: Redelivered readings that were recognised and not used twice.
        retained: Retained readings that were ignored because they are old.
        unclaimed: Messages that no pipeline asked for, from a subscription of an earlier configuration.
        refused_subscriptions: Topic filters that the broker does not let this client read.
        state_files_damaged: Saved states set aside because they were damaged.
        fallbacks: Pipelines whose model, or part of it, is not executed on the provider it was meant for.
        pipelines: By name.
    """

    v: int
    ts: str
    boot: str
    uptime_s: float
    interval_s: float
    connects: int
    unacknowledged: int
    duplicates: int
    retained: int
    unclaimed: int
    refused_subscriptions: tuple[str, ...]
    state_files_damaged: int
    fallbacks: int
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
        self.inference = RecentLatency()

    def count_readings(self, used: int, rejected: Mapping[str, int]) -> None:
        """Count readings that were used, and by reason those that could not be."""
        if used:
            self.readings += used
            self.last_reading = time.monotonic()
        for reason, count in rejected.items():
            self.rejected[reason] = self.rejected.get(reason, 0) + count

    def count_predictions(self, count: int) -> None:
        """Count predictions handed to the outbox."""
        self.predictions += count
        self.last_prediction = time.monotonic()

    def count_dropped(self, reason: str, count: int = 1) -> None:
        """Count readings or predictions that were lost."""
        self.dropped[reason] = self.dropped.get(reason, 0) + count
