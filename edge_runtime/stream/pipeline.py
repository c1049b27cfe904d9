"""One pipeline without its surroundings: a payload on a stream in, at most one prediction out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from edge_runtime.inference.engine import Array, Engine, Tensor
from edge_runtime.inference.features import Features
from edge_runtime.inference.postprocess import Decision, Outcome
from edge_runtime.inference.preprocess import Preprocess
from edge_runtime.stream.decode import Decoder, Rejection
from edge_runtime.stream.window import Windows

Layout: TypeAlias = Literal["time_first", "features_first"]

_LONGEST_STREAM_NAME = 256  # it becomes part of a topic, which MQTT ends at 65535 bytes


@dataclass(frozen=True)
class Due:
    """A window that wants a prediction.

    Attributes:
        stream: Whose it is.
        reading: Number of its last reading in the stream, from 1.
        time: That reading's time as its sensor said, seconds since 1970, or None.
        array: float32 [size, features].
    """

    stream: str
    reading: int
    time: float | None
    array: Array


@dataclass(frozen=True)
class Feeder:
    """Brings a window into the shape and dtype of the model's single input.

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

    def feeds(self, window: Array) -> dict[str, Array]:
        """Return the model's input of one sample."""
        batch = self.preprocess.apply(self._shaped(window))
        return {self.tensor.name: batch.astype(self.tensor.dtype, copy=False)}

    def _shaped(self, window: Array) -> Array:
        sizes = self.tensor.shape[1:]
        if self.features is not None:
            return self.features.fed(window[np.newaxis], sizes)
        ordered = window.T if self.layout == "features_first" else window
        shape = sizes if all(isinstance(size, int) for size in sizes) else ordered.shape
        return np.ascontiguousarray(ordered).reshape((1, *shape))


class Pipeline:
    """Decode, window, infer, decide.

    Args:
        decoder: What readings look like.
        windows: The windows of all streams; kept here between calls.
        feeder: How a window enters the model.
        engine: The model.
        reader: Name of the output decided on, and the decision.
    """

    def __init__(
        self, decoder: Decoder, windows: Windows, feeder: Feeder, engine: Engine, reader: tuple[str, Decision]
    ) -> None:
        self._decoder, self.windows = decoder, windows
        self._feeder, self._engine = feeder, engine
        self._output, self._decision = reader

    def take(
        self, stream: str, payload: bytes
    ) -> Due | Rejection | Literal["bad_stream_name", "too_many_streams"] | None:
        """Take in one payload: a window that is due, the reason why the reading cannot be used, or None."""
        if not 0 < len(stream) <= _LONGEST_STREAM_NAME:
            return "bad_stream_name"
        if not self.windows.has_room_for(stream):
            return "too_many_streams"
        reading = self._decoder.decode(payload)
        if isinstance(reading, str):
            return reading
        number, window = self.windows.push(stream, reading.values)
        return Due(stream, number, reading.time, window) if window is not None else None

    def predict(self, window: Array) -> Outcome:
        """Run the model on one window, float32 [size, features], and decide.

        Raises:
            BadInput: E-INFERENCE, the model failed on this window.
        """
        return self._decision.decide(self.infer(window))

    def infer(self, window: Array) -> Array:
        """Run the model on one window and return the output that is decided on; raises as `predict`."""
        return self._engine.run(self._feeder.feeds(window))[self._output]
