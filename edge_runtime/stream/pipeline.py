"""One pipeline without its surroundings: payloads of many streams in, predictions out, many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from edge_runtime.errors import BadInput
from edge_runtime.inference.batch import run_all
from edge_runtime.inference.engine import Array, Engine, Tensor
from edge_runtime.inference.features import Features
from edge_runtime.inference.postprocess import Decision, Outcome
from edge_runtime.inference.preprocess import Preprocess
from edge_runtime.stream.gatherer import Due, Gatherer

Layout: TypeAlias = Literal["time_first", "features_first"]


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


class Predictor:
    """The second half of a pipeline: windows in, outcomes out.

    Args:
        feeder: How windows enter the model.
        engine: The model.
        output: Name of the output decided on.
        decision: How it is read.

    Attributes:
        together: Whether the model takes many windows in one run, each as if it were alone.
    """

    def __init__(self, feeder: Feeder, engine: Engine, output: str, decision: Decision) -> None:
        self._feeder, self._engine, self._output, self._decision = feeder, engine, output, decision
        self.together = feeder.tensor.has_dynamic_batch()

    def predict(self, due: Sequence[Due]) -> list[Outcome | None]:
        """Run the model on windows and decide; None stands for a window that the model failed on."""
        try:
            return list(self._decision.decide(self.infer(_stacked(due))))
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


def _stacked(due: Sequence[Due]) -> Array:
    """Return all windows in one array, [samples, size, features]; a single one is not copied."""
    return due[0].array[np.newaxis] if len(due) == 1 else np.stack([one.array for one in due])


@dataclass(frozen=True)
class Pipeline:
    """Both halves: decode, gather; infer, decide."""

    gatherer: Gatherer
    predictor: Predictor
