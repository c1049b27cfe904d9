"""One pipeline's thread: takes readings in batches, puts predictions into the outbox, acknowledges what is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from edge_runtime.assemble import Assembled
from edge_runtime.inference.postprocess import Outcome
from edge_runtime.messaging.json_payload import SCHEMA_VERSION, Prediction, encode, rfc3339
from edge_runtime.messaging.message import Message
from edge_runtime.messaging.outbox.contract import Entry, Outbox
from edge_runtime.monitoring.health import PipelineCounters, PipelineHealth
from edge_runtime.option_types import seconds
from edge_runtime.sources.reading_queue import ReadingQueue
from edge_runtime.stream.pipeline import Arrival, Due

_LAST_READING_SECONDS = 1.0  # how long a clean stop waits for the readings in hand once the rest was given up


@dataclass(frozen=True)
class Surroundings:
    """What a worker needs of the daemon.

    Attributes:
        outbox: Where predictions go.
        done: Called with messages that need not come again.
        room: Called when a full queue has room again.
        topic_of: Stream name -> topic of its predictions.
        boot: Identifier of this run of the daemon.
        supervise: Runs the worker's loop and sees to errors nobody foresaw.
    """

    outbox: Outbox
    done: Callable[[Sequence[Message]], None]
    room: Callable[[], None]
    topic_of: Callable[[str], str]
    boot: str
    supervise: Callable[[Callable[[], None]], None]


class Worker:
    """Runs one pipeline until its queue is closed and empty."""

    def __init__(self, assembled: Assembled, around: Surroundings) -> None:
        self._assembled, self._around = assembled, around
        self._counters = PipelineCounters()
        self._sequences: dict[str, int] = {}
        self._topics: dict[str, str] = {}
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
        median, high = counters.inference.percentiles() or (None, None)
        return PipelineHealth(
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
            inference_ms_p50=median,
            inference_ms_p99=high,
        )

    def _work(self) -> None:
        while (messages := self.queue.take(self._most, self._linger)) is not None:
            self._serve(messages)

    def _dropped(self, messages: Sequence[Message]) -> None:
        self._counters.count_dropped("queue_full", len(messages))
        self._around.done(messages)

    def _serve(self, messages: Sequence[Message]) -> None:
        stream_of = self._assembled.topic.stream_of
        arrivals = [Arrival(stream_of(message.topic), message.payload, message.arrived) for message in messages]
        taken = self._assembled.pipeline.take(arrivals)
        self._counters.count_readings(taken.readings, taken.rejected)
        entries: list[Entry] = []
        for start in range(0, len(taken.due), self._most):
            entries += self._predict(taken.due[start : start + self._most])
        if entries:
            self._around.outbox.put(entries, partial(self._around.done, messages))
            self._counters.count_predictions(len(entries))
        else:
            self._around.done(messages)

    def _predict(self, due: Sequence[Due]) -> list[Entry]:
        """Return the predictions of windows; those that fail or find no room are counted."""
        if not self._around.outbox.accepts():
            self._counters.count_dropped("outbox_full", len(due))
            return []
        begin = time.perf_counter()
        outcomes = self._assembled.pipeline.predict(due)
        milliseconds = round((time.perf_counter() - begin) * 1e3, 3)
        self._counters.inference.add(milliseconds)
        since_1970 = time.time() - time.monotonic()  # of a moment on the monotonic clock
        entries = []
        for one, outcome in zip(due, outcomes, strict=True):
            if outcome is None:
                self._counters.count_dropped("inference_failed")
            else:
                entries.append(self._entry(one, outcome, milliseconds, since_1970))
        return entries

    def _entry(self, due: Due, outcome: Outcome, milliseconds: float, since_1970: float) -> Entry:
        served, boot, name, stream = self._assembled.served, self._around.boot, self._assembled.config.name, due.stream
        sequence = self._sequences[stream] = self._sequences.get(stream, 0) + 1
        prediction = Prediction(
            v=SCHEMA_VERSION,
            id=f"{boot}-{name}-{stream}-{sequence}",
            seq=sequence,
            boot=boot,
            ts=rfc3339(due.time if due.time is not None else due.arrived + since_1970),
            ts_src="sensor" if due.time is not None else "arrival",
            pipeline=name,
            stream=stream,
            reading=due.reading,
            model=served.manifest.name,
            model_version=served.manifest.version,
            variant=served.variant.name,
            latency_ms=milliseconds,
            quality="good" if outcome.value is not None else "bad",
            value=outcome.value,
            label=outcome.label,
            alarm=outcome.alarm,
            unit=self._assembled.unit or None,
        )
        return Entry(stream, sequence, self._topic_of(stream), encode(prediction))

    def _topic_of(self, stream: str) -> str:
        topic = self._topics.get(stream)
        if topic is None:
            topic = self._topics[stream] = self._around.topic_of(stream)
        return topic


def _age(now: float, then: float | None) -> float | None:
    # The worker may have moved `then` beyond `now` meanwhile.
    return None if then is None else round(max(now - then, 0.0), 3)
