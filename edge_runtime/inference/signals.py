"""A batch of windows, and what several features of it share."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from edge_runtime.inference.engine import Array
from edge_runtime.inference.spectrum import periodogram

# A standard deviation below this share of the mean is the rounding of a constant, not a signal (as scipy.stats has it).
_ROUNDING = 1e-15


class Signals:
    """Windows as signals, float64 [n, channels, size]; what features share is computed once, when first asked for.

    Each signal is one contiguous row, so that a sum runs over it in an order that no other row has a say in: a window
    gives the same bits alone and in any batch.

    Args:
        windows: Readings, any numbers [n, size, channels]; taken as float32, which is what a daemon has.
        sample_rate: Readings a second; 0 where it was not declared, and no spectrum is asked for.
    """

    def __init__(self, windows: Array, sample_rate: float) -> None:
        as_served = np.asarray(windows, np.float32)
        self.values: Array = np.ascontiguousarray(np.swapaxes(as_served, 1, 2), dtype=np.float64)
        self.sample_rate = sample_rate

    @cached_property
    def mean(self) -> Array:
        """The arithmetic mean, [n, channels]."""
        return np.asarray(self.values.mean(axis=-1))

    @cached_property
    def mean_square(self) -> Array:
        """``sum(x²) / size``, [n, channels]."""
        return np.asarray(np.square(self.values).mean(axis=-1))

    @cached_property
    def peak(self) -> Array:
        """``max |x|``, [n, channels]."""
        return np.asarray(np.abs(self.values).max(axis=-1))

    @cached_property
    def centred(self) -> Array:
        """The signals less their means; exactly zero where nothing but rounding is left."""
        rest = self.values - self.mean[..., None]
        constant = np.square(rest).mean(axis=-1) <= np.square(_ROUNDING * self.mean)
        rest[constant] = 0.0
        return np.asarray(rest)

    @cached_property
    def centred_squared(self) -> Array:
        """``(x - mean)²``."""
        return np.asarray(np.square(self.centred))

    @cached_property
    def variance(self) -> Array:
        """``sum((x - mean)²) / size``, [n, channels]."""
        return np.asarray(self.centred_squared.mean(axis=-1))

    @cached_property
    def density(self) -> Array:
        """The one-sided periodogram of the centred signals, [n, channels, size // 2 + 1]."""
        return periodogram(self.centred, self.sample_rate)


def ratio(numerator: Array, denominator: Array) -> Array:
    """Return the quotient, 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)
