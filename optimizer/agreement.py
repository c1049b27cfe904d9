"""How far two sets of outputs agree: in decibels, of the output that differs most."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from edge_runtime.inference.engine import Array
from optimizer.compare import sqnr


def agreement_of(expected: Mapping[str, Array], found: Mapping[str, Array]) -> float:
    """Return signal over difference in dB, of the output that differs most: infinite where all are equal, bit by bit.

    Outputs that are no floating-point numbers have no distance: the share of elements that differ stands for noise.
    """
    if expected.keys() != found.keys():
        return -math.inf
    return min((_agreement(array, found[name]) for name, array in expected.items()), default=math.inf)


def _agreement(expected: Array, found: Array) -> float:
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return -math.inf
    if expected.tobytes() == found.tobytes():
        return math.inf
    if not np.issubdtype(expected.dtype, np.floating):
        different = float(np.mean(expected != found))
        return -10 * math.log10(different) if different else math.inf
    finite = np.isfinite(expected)
    if not np.array_equal(finite, np.isfinite(found)):
        return -math.inf
    signal = expected[finite].astype(np.float64)
    decibels = sqnr(signal, found[finite].astype(np.float64) - signal)
    return -math.inf if decibels is None else decibels
