"""Whether a rewritten model computes the same, on real inputs and on batches of every size that it must take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import BadInput
from edge_runtime.inference.batch import batch_size_of, batches, count_samples
from edge_runtime.inference.engine import Array, Feeds
from edge_runtime.inference.ort import OrtEngine

_RELATIVE_TOLERANCE = 1e-3
_MOST_BATCHES = 16
_ABSOLUTE_SHARE = 1e-5  # of the largest output, for sums that cancel


@dataclass(frozen=True)
class Check:
    """What a model answered before it was rewritten."""

    feeds: tuple[Feeds, ...]
    answers: tuple[dict[str, Array], ...]

    @staticmethod
    def of(data: bytes, feeds: Feeds) -> Check:
        """Record the answers to the samples given, and where the batch is open also to batches of other sizes.

        Raises:
            BadInput: the model does not load, or refuses the samples themselves.
        """
        engine = OrtEngine(data)
        given = _as_the_model_takes_them(engine, feeds)
        recorded: list[tuple[Feeds, dict[str, Array]]] = [(batch, engine.run(batch)) for batch in given]
        if engine.inputs and all(tensor.has_dynamic_batch() for tensor in engine.inputs):
            for other in (_first(feeds), _doubled(feeds)):
                try:
                    recorded.append((other, engine.run(other)))
                except BadInput:
                    continue  # a first dimension that is open and yet not free: what the user gave is checked
        return Check(tuple(batch for batch, _ in recorded), tuple(answers for _, answers in recorded))

    def problem(self, candidate: bytes) -> str | None:
        """Return in words what the candidate answers otherwise, None where nothing.

        Raises:
            BadInput: the candidate does not load or does not run.
        """
        engine = OrtEngine(candidate)
        pairs = zip(self.feeds, self.answers, strict=True)
        found = (_difference(expected, engine.run(feeds)) for feeds, expected in pairs)
        return next((problem for problem in found if problem), None)


def _as_the_model_takes_them(engine: OrtEngine, feeds: Feeds) -> Sequence[Feeds]:
    """Cut samples into batches where the model fixes its batch; arrays without a common sample axis are one batch."""
    count = count_samples(feeds)
    size = batch_size_of(engine, count)
    if count <= size or len({len(array) for array in feeds.values() if array.ndim}) != 1:
        return [feeds]
    return [batch for batch in batches(feeds, size) if count_samples(batch) == size][:_MOST_BATCHES]


def _first(feeds: Feeds) -> Feeds:
    return {name: array[:1] for name, array in feeds.items()}


def _doubled(feeds: Feeds) -> Feeds:
    return {name: np.concatenate([array, array[::-1]]) for name, array in feeds.items()}


def _difference(reference: dict[str, Array], actual: dict[str, Array]) -> str | None:
    if set(reference) != set(actual):
        return "the outputs have other names"
    return next((problem for name in reference if (problem := _output(name, reference[name], actual[name]))), None)


def _output(name: str, expected: Array | Sequence[object], actual: Array | Sequence[object]) -> str | None:
    if not isinstance(expected, np.ndarray) or not isinstance(actual, np.ndarray):
        # Sequences and maps, as classical models give them, come from operators that no rewrite touches.
        return None if str(expected) == str(actual) else f"output {name} differs"
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        return f"output {name} has another shape or dtype"
    if not np.issubdtype(expected.dtype, np.floating):
        return None if np.array_equal(expected, actual) else f"output {name} differs"
    share = _ABSOLUTE_SHARE * float(np.abs(expected).max(initial=0.0))
    if np.allclose(expected, actual, rtol=_RELATIVE_TOLERANCE, atol=share, equal_nan=True):
        return None
    return f"output {name} differs by up to {np.abs(expected - actual).max():.3g}"
