"""One pipeline's thread: takes readings from its queue, publishes predictions, acknowledges what is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from edge_runtime.assemble import Assembled
from edge_runtime.errors import BadInput
from edge_runtime.inference.postprocess import Outcome
from edge_runtime.messaging.connection import Message
from edge_runtime.messaging.json_payload import SCHEMA_VERSION, Prediction, encode, rfc3339
from edge_runtime.monitoring.health import PipelineCounters, PipelineHealth
from edge_runtime.monitoring.pulse import Pulse
from edge_runtime.sources.reading_queue import ReadingQueue
from edge_runtime.stream.pipeline import Due

_LAST_READING_SECONDS = 1.0  # how long a clean stop waits for the reading in hand once the rest was given up


@dataclass(frozen=True)
class Surroundings:
    """What a worker needs of the daemon.

    Attributes:
        publish: (topic, payload) -> whether the message was taken for delivery.
        done: Called with each message that needs not come again.
        topic_of: Stream name -> topic of its predictions.
        boot: Identifier of this run of the daemon.
        supervise: Runs the worker's loop and sees to errors nobody foresaw.
        pulse: The thread's sign of life.
    """

    publish: Callable[[str, bytes], bool]
    done: Callable[[Message], None]
    topic_of: Callable[[str], str]
    boot: str
    supervise: Callable[[Callable[[], None]], None]
    pulse: Pulse


class Worker:
    """Runs one pipeline until its queue is closed and empty."""

    def __init__(self, assembled: Assembled, around: Surroundings) -> None:
        self._assembled, self._around = assembled, around
        self._counters = PipelineCounters()
        self._sequence = 0
        queue, qos = assembled.config.queue, assembled.config.source.qos
        # A QoS 1 reading may wait; a QoS 0 one that waits in TCP is lost inside the broker, where nobody counts it.
        policy = queue.policy or ("block" if qos else "drop_oldest")
        self.queue = ReadingQueue(queue.size, policy, self._dropped)
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
            streams=len(self._assembled.pipeline.windows),
            readings=counters.readings,
            predictions=counters.predictions,
            rejected=dict(counters.rejected),
            dropped=dict(counters.dropped),
            queue_depth=len(self.queue),
            reading_age_s=_age(now, counters.last_reading),
            prediction_age_s=_age(now, counters.last_prediction),
        )
        return replace(health, **counters.latencies())

    def _work(self) -> None:
        while (message := self.queue.take()) is not None:
            self._around.pulse.moved()
            self._serve(message)
            self._around.done(message)
            self._around.pulse.rests()

    def _dropped(self, message: Message) -> None:
        self._counters.count_dropped("queue_full")
        self._around.done(message)

    def _serve(self, message: Message) -> None:
        stream = self._assembled.topic.stream_of(message.topic)
        taken = self._assembled.pipeline.take(stream, message.payload)
        if isinstance(taken, str):
            self._counters.count_rejected(taken)
            return
        self._counters.readings += 1
        self._counters.last_reading = time.monotonic()
        if taken is not None:
            self._predict(taken)

    def _predict(self, due: Due) -> None:
        begin = time.perf_counter()
        try:
            outcome = self._assembled.pipeline.predict(due.array)
        except BadInput:
            self._counters.count_dropped("inference_failed")
            return
        milliseconds = (time.perf_counter() - begin) * 1e3
        self._counters.inference.add(milliseconds)
        self._sequence += 1
        message = encode(self._message(due, outcome, milliseconds))
        if not self._around.publish(self._around.topic_of(due.stream), message):
            self._counters.count_dropped("outgoing_queue_full")
            return
        self._counters.predictions += 1
        self._counters.last_prediction = time.monotonic()

    def _message(self, due: Due, outcome: Outcome, milliseconds: float) -> Prediction:
        served, boot, name = self._assembled.served, self._around.boot, self._assembled.config.name
        return Prediction(
            v=SCHEMA_VERSION,
            id=f"{boot}-{name}-{self._sequence}",
            seq=self._sequence,
            boot=boot,
            ts=rfc3339(due.time if due.time is not None else time.time()),
            ts_src="sensor" if due.time is not None else "arrival",
            pipeline=name,
            stream=due.stream,
            reading=due.reading,
            model=served.manifest.name,
            model_version=served.manifest.version,
            variant=served.variant.name,
            latency_ms=round(milliseconds, 3),
            quality="good" if outcome.value is not None else "bad",
            value=outcome.value,
            label=outcome.label,
            alarm=outcome.alarm,
            unit=self._assembled.unit or None,
        )


def _age(now: float, then: float | None) -> float | None:
    # The worker may have moved `then` beyond `now` meanwhile.
    return None if then is None else round(max(now - then, 0.0), 3)
