"""What is written on the topics: flat JSON with finite numbers and stable keys; docs/mqtt.md is the contract."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Literal

import msgspec

from edge_runtime.stream.quality import Quality

SCHEMA_VERSION = 1


class Status(msgspec.Struct, frozen=True):
    """Whether the daemon is there.

    Attributes:
        state: ``online``; ``stopped`` after a clean stop; ``offline``, written by the broker, after anything else.
        boot: The same in all messages of one run of the daemon.
        since: When this state began, RFC 3339 UTC; for ``offline``, when the run began.
        v: Version of this message's schema.
    """

    state: Literal["online", "stopped", "offline"]
    boot: str
    since: str
    v: int = SCHEMA_VERSION


class Prediction(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One prediction; keys whose value is not known for this kind of decision are left out.

    Attributes:
        v: Version of this message's schema.
        id: ``boot-pipeline-stream-seq``, unique.
        seq: Counts up by one per prediction of this stream in this run of the daemon, from 1.
        boot: Changes with every start of the daemon: the epoch that `seq` belongs to.
        ts: Time of the window's last reading, RFC 3339 UTC.
        ts_src: ``sensor`` where the reading said its time, else ``arrival`` at this device.
        pipeline: Pipeline name.
        stream: Stream (asset) name.
        reading: Number of the window's last reading in its stream, from 1, kept over clean restarts.
        model: Model name.
        model_version: Model version.
        variant: Form of the model that computed it.
        latency_ms: Time of the model's run in milliseconds, which windows that came together share.
        quality: How far it can be trusted; ``bad_input``, ``stale`` and ``bad`` come without value and label.
        value: Class score, thresholded score or regression value.
        label: Class name.
        alarm: Whether an operator should look, after all delays.
        unit: Engineering unit of value.
    """

    v: int
    id: str
    seq: int
    boot: str
    ts: str
    ts_src: Literal["sensor", "arrival"]
    pipeline: str
    stream: str
    reading: int
    model: str
    model_version: int
    variant: str
    latency_ms: float
    quality: Quality
    value: float | None = None
    label: str | None = None
    alarm: bool | None = None
    unit: str | None = None


def encode(message: msgspec.Struct) -> bytes:
    """Return a message as compact JSON."""
    return msgspec.json.encode(message)


def rfc3339(seconds_since_1970: float) -> str:
    """Return UTC with milliseconds and Z, for instance ``2026-01-31T12:00:00.000Z``."""
    whole, microseconds = divmod(round(seconds_since_1970 * 1e6), 1_000_000)
    return f"{_whole_second(whole)}.{microseconds // 1000:03d}Z"


@lru_cache(maxsize=64)
def _whole_second(seconds_since_1970: int) -> str:
    """Return the part that thousands of predictions share."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds_since_1970))
