"""The health message as a page for people: what is well first, then what is not and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from edge_runtime.messaging.outbox.contract import OutboxHealth
from edge_runtime.monitoring.health import DaemonHealth, PipelineHealth
from edge_runtime.monitoring.machine import MachineHealth


def page(health: DaemonHealth) -> str:
    """Return the whole page, a line feed at its end."""
    lines = [f"{health.state.upper()}  running for {_duration(health.uptime_s)}, edgeopt {health.version}", ""]
    lines += [f"  link      {_link(health)}", f"  machine   {_machine(health.machine)}"]
    for name, pipeline in health.pipelines.items():
        lines += ["", f"  {name}", *(f"    {line}" for line in _pipeline(pipeline))]
    if health.reasons:
        lines += ["", "What needs a look:", *(f"  {n}. {reason}" for n, reason in enumerate(health.reasons, 1))]
    if health.last_error:
        lines += ["", f"Last of {health.errors} errors, {health.last_error.ts}: {health.last_error.text}"]
    return "\n".join(lines) + "\n"


def last_words(health: bytes) -> str:
    """Return one sentence about the health message that a stopped daemon left."""
    try:
        said = msgspec.json.decode(health, type=DaemonHealth)
    except msgspec.MsgspecError:
        return "the last word of the run before is of another version"
    reasons = f" ({said.reasons[0]})" if said.reasons else ""
    return f"its last word, {said.ts}, after {_duration(said.uptime_s)}: {said.state}{reasons}"


def _link(health: DaemonHealth) -> str:
    link = health.link
    words = [f"{'connected' if link.connected else 'NOT CONNECTED'}, MQTT {link.protocol}"]
    words += [f"connects {link.connects}", f"not acknowledged {health.unacknowledged}"]
    return ", ".join(words)


def _machine(machine: MachineHealth) -> str:
    words = [machine.board]
    if machine.temperature_c is not None:
        words.append(f"{machine.temperature_c:.0f} degrees C")
    if machine.throttling is not None:
        words.append(", ".join(machine.throttling) or "not held back")
    if machine.resident_bytes is not None:
        words.append(f"memory {_size(machine.resident_bytes)}")
    if machine.available_bytes is not None:
        words.append(f"{_size(machine.available_bytes)} free")
    clock = {True: "clock kept right", False: "clock NOT KEPT RIGHT", None: "clock unknown"}
    return ", ".join([*words, clock[machine.clock_synchronised]])


def _pipeline(one: PipelineHealth) -> Iterator[str]:
    yield f"model     {one.model} v{one.model_version} {one.variant}, in {one.engine} on {one.provider}"
    yield f"readings  {one.readings}{_rate(one.readings_per_s)}, last {_age(one.reading_age_s)}, streams {one.streams}"
    yield f"predicted {one.predictions}{_rate(one.predictions_per_s)}, last {_age(one.prediction_age_s)}"
    oldest = "" if one.queue_oldest_age_s is None else f", oldest {_duration(one.queue_oldest_age_s)}"
    yield f"queue     {one.queue_depth}{oldest}"
    yield f"ms        {_latencies(one)}"
    if one.outbox is not None:
        yield f"outbox    {_outbox(one.outbox)}"
    if one.rejected:
        yield f"rejected  {_counts(one.rejected)}"
    if one.dropped_in_all():
        yield f"lost      {_counts({**one.dropped, **(one.outbox.dropped if one.outbox else {})})}"
    if one.fallback:
        yield f"fallback  {one.fallback}"


def _latencies(one: PipelineHealth) -> str:
    stages = (
        ("queue", one.queue_ms_p50, one.queue_ms_p99),
        ("decode", one.decode_ms_p50, one.decode_ms_p99),
        ("inference", one.inference_ms_p50, one.inference_ms_p99),
        ("delivery", one.delivery_ms_p50, one.delivery_ms_p99),
    )
    known = [f"{name} {median:.3g} (p99 {high:.3g})" for name, median, high in stages if median is not None]
    return ", ".join(known) or "nothing measured yet"


def _outbox(outbox: OutboxHealth) -> str:
    words = [f"{outbox.waiting} in memory, {outbox.stored} on disk", f"delivered {outbox.delivered}"]
    if outbox.bound_bytes:
        words.append(f"{_size(outbox.bytes)} of {_size(outbox.bound_bytes)}")
    if outbox.oldest_age_s is not None:
        words.append(f"oldest {_duration(outbox.oldest_age_s)}")
    if outbox.minutes_left is not None:
        words.append(f"full in {_duration(60 * outbox.minutes_left)}")
    return ", ".join(words)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items(), key=lambda item: -item[1]))


def _rate(per_second: float | None) -> str:
    return "" if per_second is None else f" ({per_second:.3g}/s)"


def _age(seconds: float | None) -> str:
    return "never" if seconds is None else f"{_duration(seconds)} ago"


def _duration(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.1f} s"


def _size(count: float) -> str:
    for name in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {name}"
        count /= 1024
    return f"{count:.1f} GiB"
