"""From verdicts to numbered messages."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from edge_runtime.assemble import Assembled
from edge_runtime.messaging.json_payload import SCHEMA_VERSION, Prediction, encode, rfc3339
from edge_runtime.messaging.outbox.contract import Entry
from edge_runtime.stream.quality import Origin, Verdict

_MOST_STREAMS = 100_000


class Sequences:
    """Numbers the messages of each stream from 1.

    A stream that was not heard of for as long as `most` others were is forgotten, and would begin at 1 again; the
    daemon keeps far fewer streams at one time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._latest: OrderedDict[str, int] = OrderedDict()

    def next(self, stream: str) -> int:
        """Return the next number of a stream."""
        latest = self._latest
        number = latest.get(stream, 0) + 1
        latest[stream] = number
        latest.move_to_end(stream)
        if len(latest) > self._most:
            latest.popitem(last=False)
        return number


class PredictionWriter:
    """Writes one pipeline's predictions.

    Args:
        assembled: The pipeline.
        boot: Identifier of this run of the daemon.
        topic_of: Stream name -> topic of its predictions.
    """

    def __init__(self, assembled: Assembled, boot: str, topic_of: Callable[[str], str]) -> None:
        self._name, self._boot, self._topic_of = assembled.config.name, boot, topic_of
        served = assembled.served
        self._model, self._model_version = served.manifest.name, served.manifest.version
        self._variant, self._unit = served.variant.name, assembled.unit or None
        self._most = max(_MOST_STREAMS, 2 * assembled.config.source.max_streams)
        self._sequences = Sequences(self._most)
        self._topics: dict[str, str] = {}

    def write(self, stream: str, verdict: Verdict) -> Entry:
        """Return the message that reports a verdict."""
        sequence = self._sequences.next(stream)
        origin = verdict.origin or Origin(time.time(), says_time=False, reading=0, milliseconds=0.0)
        prediction = Prediction(
            v=SCHEMA_VERSION,
            id=f"{self._boot}-{self._name}-{stream}-{sequence}",
            seq=sequence,
            boot=self._boot,
            ts=rfc3339(origin.time),
            ts_src="sensor" if origin.says_time else "arrival",
            pipeline=self._name,
            stream=stream,
            reading=origin.reading,
            model=self._model,
            model_version=self._model_version,
            variant=self._variant,
            latency_ms=origin.milliseconds,
            quality=verdict.quality,
            value=verdict.value,
            label=verdict.label,
            alarm=verdict.alarm,
            unit=self._unit,
        )
        return Entry(stream, sequence, self._topic(stream), encode(prediction))

    def _topic(self, stream: str) -> str:
        topic = self._topics.get(stream)
        if topic is None:
            if len(self._topics) >= self._most:
                self._topics.clear()
            topic = self._topics[stream] = self._topic_of(stream)
        return topic
