"""Health messages from what the parts say."""

from __future__ import annotations

import time
from typing import Any

import evidence

from edge_runtime.messaging.outbox.contract import OutboxHealth
from edge_runtime.monitoring.health import PipelineCounters
from edge_runtime.monitoring.last_error import ErrorNotes
from edge_runtime.monitoring.pulse import Pulses
from edge_runtime.monitoring.reporter import HealthReporter, Run, Seen, summary


def reporter(seen: Seen, **run: Any) -> HealthReporter:
    """Return a reporter of a daemon that began a minute and a half ago."""
    facts = {"boot": "b", "began": time.monotonic() - 90.0, "version": "1", "interval_s": 10.0, "silence_s": 300.0}
    return HealthReporter(Run(**{**facts, **run}), lambda _now: seen, Pulses(30.0), ErrorNotes())


def test_rates_and_losses_are_worked_out() -> None:
    """The first report looks back to the start; a second one at once sees the same."""
    lost = OutboxHealth(dropped={"outbox_full": 4})
    one = evidence.pipeline(readings=900, predictions=90, dropped={"queue_full": 3}, outbox=lost)
    reports = reporter(Seen(evidence.link(), {"bearing": one}))
    for health in (reports.report(), reports.report()):
        found = health.pipelines["bearing"]
        assert (round(found.readings_per_s or 0), round(found.predictions_per_s or 0)) == (10, 1)
        assert found.dropped_lately == 7
        assert health.state == "degraded"


def test_one_line_for_systemctl() -> None:
    """Where all is well, what each pipeline does; else the worst reason."""
    assert summary(evidence.daemon()) == "ok: bearing v3 2.0 predictions/s, queue 0"
    failing = evidence.daemon(state="failing", reasons=("no connection to the broker: check it",))
    assert summary(failing) == "failing: no connection to the broker: check it"


def test_every_stage_has_its_percentiles() -> None:
    """A stage that was never measured has none."""
    counters = PipelineCounters()
    counters.decode.add(2.0)
    found = counters.latencies()
    assert (found["decode_ms_p50"], found["decode_ms_p99"], found["delivery_ms_p50"]) == (2.0, 2.0, None)
