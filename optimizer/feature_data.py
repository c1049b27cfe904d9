"""Features of the user's raw windows, computed when they are asked for, by the code that will serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array, SampleArray, SampleFeeds, Tensor
from edge_runtime.inference.features import READINGS_AT_A_TIME, Features
from edge_runtime.inference.preprocess import Preprocess
from optimizer.lazy_arrays import bounds


@dataclass(frozen=True)
class RawWindows:
    """What a dataset's inputs were computed of.

    Attributes:
        features: How.
        arrays: The windows by the input's name, [n, size, channels], or [n, size] of one channel.
    """

    features: Features
    arrays: SampleFeeds

    def head(self, count: int) -> dict[str, Array]:
        """Return the first `count` windows as a daemon would have them, float32 [count, size, channels]."""
        return {name: _windows(array[:count], self.features).astype(np.float32) for name, array in self.arrays.items()}

    def first(self, count: int) -> RawWindows:
        """Return the first `count` windows, or all where there are fewer."""
        return RawWindows(self.features, {name: array[:count] for name, array in self.arrays.items()})


@dataclass(frozen=True)
class FeatureArray:
    """The features of raw windows in the shape of a model's input; each slice is computed when it is asked for.

    Attributes:
        raw: Windows, [n, size, channels] or [n, size].
        features: What is computed of them.
        sizes: The input's dimensions behind the batch.
    """

    raw: SampleArray
    features: Features
    sizes: tuple[int | str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of all axes, the samples' first."""
        return (len(self.raw), *self.features.fitted(self.sizes))

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of features: float32."""
        return np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, key: slice) -> Array:
        start, stop = bounds(key, len(self))
        found = np.empty((stop - start, *self.shape[1:]), np.float32)
        step = max(1, READINGS_AT_A_TIME // (self.features.size * self.features.channels))
        for first in range(start, stop, step):
            windows = _windows(self.raw[first : min(first + step, stop)], self.features)
            found[first - start : first - start + len(windows)] = self.features.fed(windows, self.sizes)
        return found


def raw_windows(
    arrays: Mapping[str, SampleArray], inputs: Sequence[Tensor], features: Features, source: str
) -> RawWindows:
    """Return what the features are to be computed of, checked against their declaration.

    Raises:
        BadInput: E-FEATURES-INPUT, E-FEATURES-SHAPE, E-DATA-INPUTS, E-DATA-DTYPE or E-DATA-SHAPE.
    """
    tensor = _only(inputs)
    features.fitted(tensor.shape[1:])
    name = tensor.name if tensor.name in arrays else "x"
    if name not in arrays:
        raise BadInput(
            "E-DATA-INPUTS",
            f"{source} has no array {tensor.name} or x (it has: {', '.join(sorted(arrays)) or 'nothing'})",
            "store the raw windows as x",
        )
    array = arrays[name]
    if array.dtype.kind not in "biuf":
        raise BadInput("E-DATA-DTYPE", f"{source}: the windows are {array.dtype}", "store them as float32")
    if array.shape[1:] not in _shapes(features):
        raise BadInput(
            "E-DATA-SHAPE",
            f"{source}: one window has shape {list(array.shape[1:])}, the features are declared for {features.size} "
            f"readings x {features.channels} channels",
            "store raw windows as [samples, size, channels], or correct size and channels where features are declared",
        )
    return RawWindows(features, {tensor.name: array})


def noise(features: Features, count: int) -> Array:
    """Return seeded windows for those who give no data, float32 [count, size, channels]."""
    shape = (count, features.size, features.channels)
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def features_of_noise(
    features: Features, preprocess: Preprocess, inputs: Sequence[Tensor], count: int
) -> dict[str, Array]:
    """Return what the model takes of these windows.

    Raises:
        BadInput: E-FEATURES-INPUT or E-FEATURES-SHAPE.
    """
    tensor = _only(inputs)
    found = preprocess.apply(features.fed(noise(features, count), tensor.shape[1:]))
    return {tensor.name: found.astype(tensor.dtype)}


def _only(inputs: Sequence[Tensor]) -> Tensor:
    if len(inputs) == 1:
        return inputs[0]
    raise BadInput(
        "E-FEATURES-INPUT",
        f"features feed one input, the model has {len(inputs)}",
        "export the model with one input, or compute the features inside the model",
    )


def _shapes(features: Features) -> tuple[tuple[int, ...], ...]:
    whole = (features.size, features.channels)
    return (whole, whole[:1]) if features.channels == 1 else (whole,)


def _windows(array: Array, features: Features) -> Array:
    return array.reshape((len(array), features.size, features.channels))
