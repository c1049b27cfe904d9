"""Values of the kinds activations have, each with its own trap, seeded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_COUNT = 40_000
NAMES = (
    *("normal", "relu", "heavy tails", "bimodal", "constant", "negative constant", "zeros"),
    *("tiny, then huge", "1e-30", "5e37", "negative", "narrow and far from zero", "whole numbers", "three values"),
)
SMOOTH = ("normal", "relu", "bimodal", "1e-30", "5e37", "negative")


def values(name: str, seed: int = 0) -> NDArray[np.float32]:
    """Return float32 values, flat."""
    random = np.random.default_rng(seed)
    normal = random.normal(0, 1, _COUNT)
    made = {
        "normal": normal,
        "relu": np.maximum(normal, 0),
        "heavy tails": random.standard_t(3, _COUNT),
        "bimodal": np.concatenate([normal[:1000] * 0.1 - 5, normal[1000:] + 9]),
        "constant": np.full(100, 5.1),
        "negative constant": np.full(100, -0.3),
        "zeros": np.zeros(100),
        "tiny, then huge": np.concatenate([normal[:1000] * 1e-4, [20.0]]),
        "1e-30": normal * 1e-30,
        "5e37": normal * 5e37,
        "negative": -np.abs(normal) * 3,
        "narrow and far from zero": random.uniform(1000, 1001, _COUNT),
        "whole numbers": random.integers(0, 256, _COUNT),
        "three values": random.choice([-1.0, 0.0, 6.0], _COUNT),
    }[name]
    return made.astype(np.float32)


def cuts(array: NDArray[np.float32], seed: int) -> Iterator[NDArray[np.float32]]:
    """Cut along the first axis into batches of random sizes, some of them empty."""
    random = np.random.default_rng(seed)
    places = np.sort(random.integers(0, len(array) + 1, random.integers(0, 12)))
    yield from np.split(array, places)
