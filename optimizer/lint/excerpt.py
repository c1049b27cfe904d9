"""A few hundred samples of a dataset, spread over all of it, that statistics are made from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edge_runtime.inference.engine import Array
from optimizer.data import Dataset
from optimizer.lazy_arrays import sample_bytes

_SAMPLES = 256
_PIECES = 16  # datasets are often sorted by class: pieces from everywhere see them all
_MOST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Excerpt:
    """Samples in memory.

    Attributes:
        name: Which data they are from, for people: ``calibration (calib.npz)``.
        feeds: Input name -> samples.
        labels: Their labels, or None.
    """

    name: str
    feeds: dict[str, Array]
    labels: Array | None

    def __len__(self) -> int:
        return len(next(iter(self.feeds.values())))

    def with_input(self, name: str, samples: Array) -> Excerpt:
        """Return the same with other samples for one input."""
        return replace(self, feeds={**self.feeds, name: samples})


def take(role: str, data: Dataset) -> Excerpt:
    """Return at most 256 samples, fewer where they are large, in evenly spread pieces."""
    room = _MOST_BYTES // sum(sample_bytes(array) for array in data.feeds.values())
    wanted = max(1, min(_SAMPLES, len(data), room))
    pieces = min(_PIECES, wanted)
    length = wanted // pieces
    starts = [int(start) for start in np.linspace(0, len(data) - length, pieces)]
    if wanted == len(data):
        starts, length = [0], wanted
    feeds = {
        name: np.concatenate([array[start : start + length] for start in starts]) for name, array in data.feeds.items()
    }
    labels = None
    if data.labels is not None:
        labels = np.concatenate([data.labels[start : start + length] for start in starts])
    return Excerpt(f"{role} ({data.source})", feeds, labels)
