"""The contract of an inference engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Feeds: TypeAlias = Mapping[str, Array]


class SampleArray(Protocol):
    """Samples along a first axis: an array in memory, or one that reads each slice from disk when it is asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of all axes, the samples' first."""

    @property
    def ndim(self) -> int:
        """The number of axes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the numbers that a slice holds."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def __getitem__(self, key: slice, /) -> Array:
        """Return the samples of a slice ``start:stop`` in memory."""


SampleFeeds: TypeAlias = Mapping[str, SampleArray]


@dataclass(frozen=True)
class Tensor:
    """Name, numpy dtype name and shape of a model's input or output.

    A dimension is an int, or a name (``"N"``; ``"?"`` where the model gives none) that may take any size.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def elements_per_sample(self) -> int | None:
        """Return the number of elements behind the batch dimension, None where one is not fixed."""
        if not all(isinstance(size, int) for size in self.shape[1:]):
            return None
        return int(np.prod([int(size) for size in self.shape[1:]]))

    def has_dynamic_batch(self) -> bool:
        """Tell whether the first dimension takes any number of samples."""
        return bool(self.shape) and isinstance(self.shape[0], str)

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(str(size) for size in self.shape)}]"


class Engine(Protocol):
    """Runs one loaded model; implementations are thread-safe for `run`."""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The model's inputs in declaration order."""

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The model's outputs in declaration order."""

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """Run one batch: arrays by input name in, arrays by output name out.

        Raises:
            BadInput: E-INFERENCE, the engine refused the arrays (shape, dtype) or failed inside.
        """
