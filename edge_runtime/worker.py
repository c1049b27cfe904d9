"""One pipeline's thread: takes readings in batches, puts predictions into the outbox, acknowledges what is done."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from msgspec.structs import replace

from edge_runtime.arrival import arrival_time
from edge_runtime.assemble import Assembled
from edge_runtime.messaging.message import Message
from edge_runtime.messaging.outbox.contract import Outbox
from edge_runtime.monitoring.health import PipelineCounters, PipelineHealth
from edge_runtime.monitoring.pulse import Pulse
from edge_runtime.option_types import seconds
from edge_runtime.package.serving import ServedModel
from edge_runtime.prediction_writer import PredictionWriter
from edge_runtime.sources.reading_queue import ReadingQueue
from edge_runtime.stream.gatherer import Arrival, Due
from edge_runtime.stream.quality import Origin, Verdict
from edge_runtime.stream.window import Windows

log = logging.getLogger(__name__)

_TICK_SECONDS = 0.5  # how long a worker waits for readings before it looks at the clock
_LOOK_SECONDS = 0.02  # from one look at what time has brought to the next: less than windows wait between two
_LAST_READING_SECONDS = 1.0  # how long a clean stop waits for the readings in hand once the rest was given up

_Reports: TypeAlias = list[tuple[str, Verdict]]  # stream, what is said of it


@dataclass(frozen=True)
class Surroundings:
    """What a worker needs of the daemon.

    Attributes:
        outbox: Where predictions go.
        done: Called with messages that need not come again.
        room: Called when a full queue has room again.
        topic_of: Stream name -> topic of its predictions.
        boot: Identifier of this run of the daemon.
        between: Called with pipeline and windows between two batches, also when none comes; to save them.
        supervise: Runs the worker's loop and sees to errors nobody foresaw.
        pulse: The thread's sign of life.
    """

    outbox: Outbox
    done: Callable[[Sequence[Message]], None]
    room: Callable[[], None]
    topic_of: Callable[[str], str]
    boot: str
    between: Callable[[str, Windows], None]
    supervise: Callable[[Callable[[], None]], None]
    pulse: Pulse


class Worker:
    """Runs one pipeline until its queue is closed and empty."""

    def __init__(self, assembled: Assembled, around: Surroundings) -> None:
        self._assembled, self._around = assembled, around
        self._counters = PipelineCounters()
        self._look_again = 0.0  # monotonic seconds
        self._writer = PredictionWriter(assembled, around.boot, around.topic_of)
        self._most, self._linger = assembled.config.batch.max, seconds(assembled.config.batch.linger)
        queue, qos = assembled.config.queue, assembled.config.source.qos
        # A QoS 1 reading may wait; a QoS 0 one that waits in TCP is lost inside the broker, where nobody counts it.
        policy = queue.policy or ("block" if qos else "drop_oldest")
        self.queue = ReadingQueue(queue.size, policy, self._dropped, around.room)
        name = f"pipeline-{assembled.config.name}"
        self._thread = threading.Thread(target=around.supervise, args=(self._work,), name=name, daemon=True)

    def start(self) -> None:
        """Begin to take readings."""
        self._thread.start()

    def finish(self, timeout: float) -> int:
        """Close the queue and work it off; return how many readings were given up because time ran out."""
        self.queue.close()
        self._thread.join(timeout)
        if not self._thread.is_alive():
            return 0
        left = self.queue.abandon()
        self._thread.join(_LAST_READING_SECONDS)
        return left + self._thread.is_alive()

    @property
    def is_running(self) -> bool:
        """Tell whether the thread may still change the windows."""
        return self._thread.is_alive()

    def health(self, now: float) -> PipelineHealth:
        """Return the pipeline's part of the health message; `now` is monotonic seconds."""
        counters, served = self._counters, self._assembled.served
        windows = self._assembled.pipeline.gatherer.windows
        health = PipelineHealth(
            model=served.manifest.name,
            model_version=served.manifest.version,
            variant=served.variant.name,
            variant_reason=served.reason,
            variants_skipped={skipped.name: skipped.reason for skipped in served.skipped},
            engine=served.variant.engine,
            provider=served.provider,
            nodes=dict(served.nodes) if served.nodes is not None else None,
            fallback=served.fallback,
            streams=len(windows),
            readings=counters.readings,
            predictions=counters.predictions,
            rejected=dict(counters.rejected),
            unchanged=counters.unchanged,
            faults=dict(self._assembled.pipeline.gatherer.guard.faults),
            dropped=counters.dropped | {reason: count for reason, count in windows.counts.items() if count},
            queue_depth=len(self.queue),
            reading_age_s=_age(now, counters.last_reading),
            prediction_age_s=_age(now, counters.last_prediction),
            queue_oldest_age_s=_age(now, self.queue.oldest()),
            outbox=self._around.outbox.health(),
        )
        return replace(health, **counters.latencies())

    def _work(self) -> None:
        windows = self._assembled.pipeline.gatherer.windows
        while (messages := self.queue.take(self._most, self._linger, _TICK_SECONDS)) is not None:
            self._around.pulse.moved()
            if messages:
                self._serve(messages)
            if not len(self.queue) and self._may_be_due():
                self._pass_time()
            self._around.between(self._assembled.config.name, windows)
            self._around.pulse.rests()

    def _dropped(self, messages: Sequence[Message]) -> None:
        self._counters.count_dropped("queue_full", len(messages))
        self._around.done(messages)

    def _serve(self, messages: Sequence[Message]) -> None:
        counters, stream_of, begin = self._counters, self._assembled.topic.stream_of, time.monotonic()
        counters.queue.add((begin - messages[0].arrived) * 1e3)
        arrivals = [Arrival(stream_of(message.topic), message.payload, message.arrived) for message in messages]
        taken = self._assembled.pipeline.gatherer.take(arrivals, arrival_time())
        counters.decode.add((time.monotonic() - begin) * 1e3)
        counters.count_readings(taken.readings, taken.rejected)
        self._put(self._judged(taken.due), partial(self._around.done, messages))

    def _may_be_due(self) -> bool:
        """Tell whether it is worth looking for what time has brought: not between readings that come in quick order."""
        now = time.monotonic()
        if now < self._look_again and now < self._assembled.judge.next_due:
            return False
        self._look_again = now + _LOOK_SECONDS
        return True

    def _pass_time(self) -> None:
        """See to what is due because time has passed; nothing is while readings wait."""
        reports = self._judged(self._assembled.pipeline.gatherer.pass_time(arrival_time()))
        self._put(reports + self._assembled.judge.advance(time.monotonic()), _nothing)

    def _put(self, reports: _Reports, release: Callable[[], None]) -> None:
        if not reports:
            release()
        elif self._around.outbox.accepts():
            self._counters.count_predictions(len(reports))
            self._around.outbox.put([self._writer.write(*report) for report in reports], self._timed(release))
        else:  # no number was given to any of them, so that none is missing
            self._counters.count_dropped("outbox_full", len(reports))
            for stream, _ in reports:
                self._assembled.judge.unreported(stream)
            release()

    def _timed(self, release: Callable[[], None]) -> Callable[[], None]:
        """Return the same that also notes how long it took until it was called, on whatever thread."""
        put = time.monotonic()

        def released() -> None:
            self._counters.delivery.add((time.monotonic() - put) * 1e3)
            release()

        return released

    def _judged(self, due: Sequence[Due]) -> _Reports:
        """Return what is to be reported of windows that are due, which run through the model together."""
        reports: _Reports = []
        for start in range(0, len(due), self._most):
            reports += self._predict(due[start : start + self._most])
            self._around.pulse.moved()
        return reports

    def _predict(self, due: Sequence[Due]) -> _Reports:
        begin = time.perf_counter()
        outcomes = self._assembled.pipeline.predictor.predict(due)
        milliseconds = round((time.perf_counter() - begin) * 1e3, 3)
        self._counters.inference.add(milliseconds)
        now = self._counters.last_prediction = time.monotonic()
        windows, judge = self._assembled.pipeline.gatherer.windows, self._assembled.judge
        reports = []
        for one, outcome in zip(due, outcomes, strict=True):
            if outcome is None:
                self._counters.count_dropped("inference_failed")
                continue
            origin = Origin(_moment(one, now), one.says_time, one.reading, milliseconds)
            verdict = judge.judge(one.stream, now, outcome, one.quality, origin)
            if one.stream not in windows:  # evicted within this very batch
                judge.evict(one.stream)
            if verdict.report:
                reports.append((one.stream, verdict))
            else:
                self._counters.unchanged += 1
        return reports


def log_choice(pipeline: str, served: ServedModel) -> None:
    """Say what serves and why, what does not and why not, and what is executed elsewhere than it was meant to be."""
    where = f"in {served.variant.engine} on {served.provider}"
    words = (pipeline, served.manifest.label, served.variant.name, where, served.reason)
    log.info("%s serves %s, %s, %s, golden samples met: %s", *words)
    for skipped in served.skipped:
        log.log(logging.WARNING if skipped.failed else logging.INFO, "%s does not serve %s", pipeline, skipped)
    if served.fallback:
        log.warning("%s falls back: %s", pipeline, served.fallback)


def _moment(due: Due, now: float) -> float:
    """Return the time of a window's last row, seconds since 1970; of arrival by the clock as it is set now."""
    if due.time is None:
        return time.time() - now + (due.arrived or now)
    return due.time if due.says_time else due.time + time.time() - arrival_time()


def _age(now: float, then: float | None) -> float | None:
    # The worker may have moved `then` beyond `now` meanwhile.
    return None if then is None else round(max(now - then, 0.0), 3)


def _nothing() -> None:
    """Release nothing: no reading stands behind what time alone has brought."""
