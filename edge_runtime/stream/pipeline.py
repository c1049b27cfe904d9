"""One pipeline without its surroundings: a payload on a stream in, at most one prediction out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from edge_runtime.inference.engine import Array, Engine, Tensor
from edge_runtime.inference.postprocess import Decision, Outcome
from edge_runtime.inference.preprocess import Preprocess
from edge_runtime.stream.decode import Decoder, Rejection
from edge_runtime.stream.rules import NotTaken, Window
from edge_runtime.stream.window import Windows

Layout: TypeAlias = Literal["time_first", "features_first"]

_LONGEST_STREAM_NAME = 256  # it becomes part of a topic, which MQTT ends at 65535 bytes


@dataclass(frozen=True)
class Due:
    """A window that wants a prediction.

    Attributes:
        stream: Whose it is.
        window: Its rows, number and times.
        says_time: Whether its times are the sensor's; otherwise they are times of arrival, or None.
    """

    stream: str
    window: Window
    says_time: bool


@dataclass(frozen=True)
class Feeder:
    """Brings a window into the shape and dtype of the model's single input.

    Attributes:
        tensor: The input.
        layout: ``time_first`` keeps [size, features]; ``features_first`` turns it into [features, size].
        preprocess: From the package's manifest.
    """

    tensor: Tensor
    layout: Layout
    preprocess: Preprocess

    def feeds(self, window: Array) -> dict[str, Array]:
        """Return the model's input of one sample."""
        ordered = window.T if self.layout == "features_first" else window
        fixed = self.tensor.shape[1:]
        shape = fixed if all(isinstance(size, int) for size in fixed) else ordered.shape
        batch = self.preprocess.apply(np.ascontiguousarray(ordered).reshape((1, *shape)))
        return {self.tensor.name: batch.astype(self.tensor.dtype, copy=False)}


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

    def take(self, stream: str, payload: bytes) -> tuple[Due, ...] | Rejection | NotTaken | Literal["bad_stream_name"]:
        """Take in one payload: the windows that are due, or the reason why the reading cannot be used."""
        if not 0 < len(stream) <= _LONGEST_STREAM_NAME:
            return "bad_stream_name"
        if not self.windows.has_room_for(stream):
            return "too_many_streams"
        reading = self._decoder.decode(payload)
        if isinstance(reading, str):
            return reading
        time = None if self.windows.by_arrival else reading.time
        windows = self.windows.push(stream, reading.values, time)
        if isinstance(windows, str):
            return windows
        return tuple(Due(stream, window, time is not None) for window in windows)

    def pass_time(self, now: float, idle: bool) -> tuple[Due, ...]:
        """Return the windows that silence makes due; see `Windows.advance`."""
        closed = self.windows.advance(now, idle)
        return tuple(Due(stream, window, not self.windows.by_arrival) for stream, window in closed)

    def predict(self, window: Array) -> Outcome:
        """Run the model on one window, float32 [size, features], and decide.

        Raises:
            BadInput: E-INFERENCE, the model failed on this window.
        """
        return self._decision.decide(self.infer(window))

    def infer(self, window: Array) -> Array:
        """Run the model on one window and return the output that is decided on; raises as `predict`."""
        return self._engine.run(self._feeder.feeds(window))[self._output]
