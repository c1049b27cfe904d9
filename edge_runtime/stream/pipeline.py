"""One pipeline without its surroundings: payloads on streams in, predictions out, many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec
import numpy as np

from edge_runtime.errors import BadInput
from edge_runtime.inference.batch import run_all
from edge_runtime.inference.engine import Array, Engine, Tensor
from edge_runtime.inference.features import Features
from edge_runtime.inference.postprocess import Decision, Outcome
from edge_runtime.inference.preprocess import Preprocess
from edge_runtime.stream.decode import Decoder
from edge_runtime.stream.window import Windows

Layout: TypeAlias = Literal["time_first", "features_first"]

_LONGEST_STREAM_NAME = 256  # it becomes part of a topic, which MQTT ends at 65535 bytes


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """A payload of one stream, and when it came, monotonic seconds."""

    stream: str
    payload: bytes
    at: float


class Due(msgspec.Struct, frozen=True, gc=False):
    """A window that wants a prediction.

    Attributes:
        stream: Whose it is.
        reading: Number of its last reading in the stream, from 1.
        time: That reading's time as its sensor said, seconds since 1970, or None.
        arrived: When that reading came, monotonic seconds.
        array: float32 [size, features].
    """

    stream: str
    reading: int
    time: float | None
    arrived: float
    array: Array


@dataclass
class Taken:
    """What became of a batch of payloads.

    Attributes:
        due: Windows that want a prediction, in order.
        readings: Readings used.
        rejected: Readings that could not be used, by reason.
    """

    due: list[Due] = field(default_factory=list)
    readings: int = 0
    rejected: dict[str, int] = field(default_factory=dict)

    def reject(self, reason: str) -> None:
        """Count a reading that could not be used."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1


@dataclass(frozen=True)
class Feeder:
    """Brings windows into the shape and dtype of the model's single input.

    Attributes:
        tensor: The input.
        layout: ``time_first`` keeps [size, features]; ``features_first`` turns it into [features, size].
        preprocess: From the package's manifest.
        features: Likewise, computed of the window before all else; None where the model takes the window itself.
    """

    tensor: Tensor
    layout: Layout
    preprocess: Preprocess
    features: Features | None = None

    def feeds(self, windows: Array) -> dict[str, Array]:
        """Return the model's input of many windows, [samples, size, features]."""
        batch = self.preprocess.apply(self._shaped(windows))
        return {self.tensor.name: batch.astype(self.tensor.dtype, copy=False)}

    def _shaped(self, windows: Array) -> Array:
        sizes = self.tensor.shape[1:]
        if self.features is not None:
            return self.features.fed(windows, sizes)
        ordered = windows.transpose(0, 2, 1) if self.layout == "features_first" else windows
        shape = sizes if all(isinstance(size, int) for size in sizes) else ordered.shape[1:]
        return np.ascontiguousarray(ordered).reshape((len(windows), *shape))


class Pipeline:
    """Decode, window, infer, decide.

    Args:
        decoder: What readings look like.
        windows: The windows of all streams; kept here between calls.
        feeder: How windows enter the model.
        engine: The model.
        reader: Name of the output decided on, and the decision.

    Attributes:
        together: Whether the model takes many windows in one run, each as if it were alone.
    """

    def __init__(
        self, decoder: Decoder, windows: Windows, feeder: Feeder, engine: Engine, reader: tuple[str, Decision]
    ) -> None:
        self._decoder, self.windows = decoder, windows
        self._feeder, self._engine = feeder, engine
        self._output, self._decision = reader
        self.together = feeder.tensor.has_dynamic_batch()

    def take(self, arrivals: Sequence[Arrival]) -> Taken:
        """Take in payloads, in the order they came."""
        taken = Taken()
        for arrival in arrivals:
            if not 0 < len(arrival.stream) <= _LONGEST_STREAM_NAME:
                taken.reject("bad_stream_name")
            elif not self.windows.has_room_for(arrival.stream):
                taken.reject("too_many_streams")
            else:
                self._take(arrival, taken)
        return taken

    def _take(self, arrival: Arrival, taken: Taken) -> None:
        stream = arrival.stream
        for reading in self._decoder.decode(arrival.payload):
            if isinstance(reading, str):
                taken.reject(reading)
                continue
            taken.readings += 1
            number, window = self.windows.push(stream, reading.values)
            if window is not None:
                taken.due.append(Due(stream, number, reading.time, arrival.at, window))

    def predict(self, due: Sequence[Due]) -> list[Outcome | None]:
        """Run the model on windows and decide; None stands for a window that the model failed on."""
        try:
            return list(self._decision.decide(self.infer(np.stack([one.array for one in due]))))
        except BadInput:
            if len(due) == 1:
                return [None]
            return [self.predict([one])[0] for one in due]  # one bad window must not cost the others theirs

    def infer(self, windows: Array) -> Array:
        """Run the model on windows, [samples, size, features], and return the output decided on, [samples, numbers].

        Raises:
            BadInput: E-INFERENCE, the model failed.
        """
        if self.together or len(windows) == 1:
            return self._run(windows)
        return np.concatenate([self._run(windows[index : index + 1]) for index in range(len(windows))])

    def _run(self, windows: Array) -> Array:
        feeds = self._feeder.feeds(windows)
        outputs = self._engine.run(feeds) if self._feeder.tensor.has_dynamic_batch() else run_all(self._engine, feeds)
        return outputs[self._output].reshape(len(windows), -1)
