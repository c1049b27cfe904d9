"""Which nodes read raw values that float16 is too coarse for: a sensor at 9000 that moves by 100.

float16 has 11 significant bits, so that near 9000 its steps are 8. A model that subtracts 9000 first, as one that
normalises inside does, computes on what is left of them. Such a node stays float32 and reads the input as it came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_runtime.inference.engine import Array
from optimizer.calibrate.observed import Observed
from optimizer.graph import nodes

_FEWEST_STEPS = 256.0  # of a channel's own range, what 8 bits would give it
_FRACTION_BITS = 10  # of float16: steps between 2^e and 2^(e+1) are 2^(e-10)


def too_coarse(data: bytes, histograms: Mapping[str, Observed]) -> Iterator[str]:
    """Yield the names of nodes that read an input of the model of which a channel (axis 1) keeps too few steps.

    Args:
        data: The float32 model, its nodes named.
        histograms: What was observed, by tensor; inputs that are not in it are left as they are.
    """
    graph = onnx.load_model_from_string(data).graph
    coarse = {item.name for item in graph.input if _is_coarse(histograms.get(item.name))}
    yield from (node.name for node in nodes(graph) if coarse & {*node.input})


def _is_coarse(observed: Observed | None) -> bool:
    if observed is None:
        return False
    low, high = observed.channel_low, observed.channel_high
    if low is None or high is None:
        low, high = np.array([observed.low]), np.array([observed.high])
    steps = _steps(low.astype(np.float64), high.astype(np.float64))
    return bool((steps < _FEWEST_STEPS).any())


def _steps(low: NDArray[np.float64], high: NDArray[np.float64]) -> Array:
    """Return how many float16 numbers lie between each channel's ends, at its largest values; of those that move."""
    moving = high > low
    reach = np.maximum(np.abs(low), np.abs(high))[moving]
    return np.asarray((high - low)[moving] / 2.0 ** (np.floor(np.log2(reach)) - _FRACTION_BITS))
