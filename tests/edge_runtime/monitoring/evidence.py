"""Health messages of a daemon that is well, to be changed by a test."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from edge_runtime.messaging.link_health import LinkHealth
from edge_runtime.monitoring.health import DaemonHealth, PipelineHealth
from edge_runtime.monitoring.machine import MachineHealth


def pipeline(**changes: Any) -> PipelineHealth:
    """Return a pipeline that serves a sensor twice a second."""
    well = PipelineHealth(
        model="bearing",
        model_version=3,
        variant="cpu-u8s8",
        variant_reason="the first that can serve here",
        variants_skipped={},
        engine="onnxruntime",
        provider="cpu",
        nodes=None,
        fallback=None,
        streams=1,
        readings=7200,
        predictions=7200,
        rejected={},
        unchanged=0,
        faults={},
        dropped={},
        queue_depth=0,
        reading_age_s=0.4,
        prediction_age_s=0.4,
        inference_ms_p50=0.3,
        inference_ms_p99=0.5,
        readings_per_s=2.0,
        predictions_per_s=2.0,
    )
    return replace(well, **changes)


def link(**changes: Any) -> LinkHealth:
    """Return a link that has never been lost."""
    well = LinkHealth(
        connected=True,
        wire="split",
        wire_fault=None,
        protocol="3.1.1",
        connects=1,
        disconnects=0,
        last_reason=None,
        refused=None,
        in_flight=0,
        repeated=0,
        unsent=0,
        rejected={},
        faults={},
        duplicate_client=False,
    )
    return replace(well, **changes)


def daemon(**changes: Any) -> DaemonHealth:
    """Return a daemon that is well."""
    well = DaemonHealth(
        v=1,
        ts="2026-01-31T12:00:00.000Z",
        boot="ab39673f01e7",
        state="ok",
        reasons=(),
        version="0.1.0",
        uptime_s=3600.0,
        interval_s=10.0,
        silence_s=300.0,
        connects=1,
        unacknowledged=0,
        duplicates=0,
        retained=0,
        unclaimed=0,
        unreadable_acks=0,
        refused_subscriptions=(),
        state_files_damaged=0,
        fallbacks=0,
        unclean_starts=0,
        hung=(),
        errors=0,
        last_error=None,
        link=link(),
        machine=MachineHealth("a board", clock_synchronised=True),
        pipelines={"bearing": pipeline()},
    )
    return replace(well, **changes)
