"""A streaming histogram of a tensor's values: fixed memory, however many samples and however far apart they lie."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.inference.engine import Array

BINS = 2048
_CHUNK = 1 << 16  # values binned at a time: the temporaries stay in the processor's cache
# Bins are 2^k wide. Never narrower than 2^-23 of the largest value, so that bin numbers are exact float32 integers, nor
# than 2^-120, so that 1 / width is a float32; both lie far below what 8 or 16 bits of the range can tell apart.
_FINEST_SHARE = 23
_FINEST = -120


class Histogram:
    """Counts of values in 2048 bins, with the exact smallest and largest value and those of each channel.

    Bins are a power of two wide and lie at multiples of their width, so two neighbours merge exactly into one of double
    width. The width is the smallest one with which 2048 bins hold everything seen; it follows from the smallest and
    the largest value alone. The result therefore does not depend on how or in which order the values came in batches.
    At least half of the bins lie inside the range, except where a constant or a narrow range needs fewer.

    Args:
        most: How many values of one sample (one index along the first axis) are counted, by default all. Of a sample
            that has more, a regular pick is: every k-th value, k having no factor in common with their number, so that
            all channels, rows and columns are visited alike. Extremes are always those of all values.

    A value that is not finite shows in `low` or `high`, and nothing is counted from then on.

    Attributes:
        low: Exact smallest value seen, as float32; 0.0 where nothing was seen, NaN once one was seen.
        high: Exact largest value seen, likewise.
        count: Values seen, those that are not counted included.
        counts: int64 (2048,), values per bin, from `edge_low` up in steps of `width`.
        zeros: How many of the counted values are exactly zero: quantizers represent them without error.
        channel_low: float32 (size of axis 1,), exact smallest value of each index along axis 1; None where nothing was
            seen, where there are fewer than two axes, or where that size varies.
        channel_high: Exact largest value, likewise.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self.count = 0
        self.counts: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self.zeros = 0
        self.channel_low: NDArray[np.float32] | None = None
        self.channel_high: NDArray[np.float32] | None = None
        self._low, self._high = math.inf, -math.inf
        self._exponent, self._base = _FINEST, 0  # bin i holds v with floor(v / 2^exponent) == base + i

    @property
    def low(self) -> float:
        """Return the exact smallest value seen."""
        return self._low if self.count else 0.0

    @property
    def high(self) -> float:
        """Return the exact largest value seen."""
        return self._high if self.count else 0.0

    @property
    def finite(self) -> bool:
        """Tell whether every value seen was finite."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def width(self) -> float:
        """Return the width of a bin, a power of two."""
        return math.ldexp(1.0, self._exponent)

    @property
    def edge_low(self) -> float:
        """Return the lower edge of the first bin, a multiple of the width."""
        return math.ldexp(self._base, self._exponent)

    @property
    def centers(self) -> NDArray[np.float64]:
        """Return the middle of every bin, moved inside the range where a bin reaches beyond it."""
        middles = self.edge_low + (np.arange(BINS) + 0.5) * self.width
        return np.clip(middles, self.low, self.high)

    def state(self) -> dict[str, Any]:
        """Return all there is to know, as plain values and arrays, for `restored`."""
        return dict(vars(self))

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Histogram:
        """Return the histogram whose state this is."""
        histogram = cls()
        vars(histogram).update(state)
        return histogram

    def update(self, values: Array) -> None:
        """Take in one batch, of any shape, first axis samples; an empty one changes nothing."""
        if not values.size:
            return
        values = np.ascontiguousarray(values, dtype=np.float32)
        before = self._low, self._high
        self._take_extremes(values)
        self.count += values.size
        if self.finite:
            if (self._low, self._high) != before:
                self._widen()
            self._add(self._pick(values))

    def _take_extremes(self, values: Array) -> None:
        if values.ndim < 2:
            lows, highs = values.min(keepdims=True), values.max(keepdims=True)
        else:
            # Over the samples first: whole samples are compared elementwise, which vectorises for any layout.
            channels = values.shape[1]
            lows = values.min(axis=0).reshape(channels, -1).min(axis=1)
            highs = values.max(axis=0).reshape(channels, -1).max(axis=1)
            self._take_channels(lows, highs)
        self._low = float(np.minimum(self._low, lows.min()))
        self._high = float(np.maximum(self._high, highs.max()))

    def _take_channels(self, lows: NDArray[np.float32], highs: NDArray[np.float32]) -> None:
        if self.count == 0:
            self.channel_low, self.channel_high = lows, highs
        elif self.channel_low is None or self.channel_high is None or len(lows) != len(self.channel_low):
            self.channel_low = self.channel_high = None
        else:
            self.channel_low = np.minimum(self.channel_low, lows)
            self.channel_high = np.maximum(self.channel_high, highs)

    def _widen(self) -> None:
        """Give the bins the width and place that hold all values seen, merging counts exactly."""
        exponent, base = _grid(self._low, self._high)
        if (exponent, base) == (self._exponent, self._base):
            return
        filled = np.flatnonzero(self.counts)
        moved = ((self._base + filled) >> min(exponent - self._exponent, 63)) - base
        counts = np.zeros(BINS, np.int64)
        np.add.at(counts, moved, self.counts[filled])
        self.counts, self._exponent, self._base = counts, exponent, base

    def _pick(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the values to count, flat."""
        size = values.size // len(values)
        if self._most is None or size <= self._most:
            return values.reshape(-1)
        step = -(-size // self._most)
        while math.gcd(step, size) != 1:
            step += 1
        return values.reshape(len(values), size)[:, ::step].reshape(-1)

    def _add(self, values: NDArray[np.float32]) -> None:
        scale, base = np.float32(math.ldexp(1.0, -self._exponent)), np.float32(self._base)
        for start in range(0, values.size, _CHUNK):
            chunk = values[start : start + _CHUNK]
            # Each step is exact in float32: a power of two, a floor, a difference of integers below 2^24.
            numbers = np.floor(chunk * scale)
            numbers -= base
            self.counts += np.bincount(numbers.astype(np.int32), minlength=BINS)
            self.zeros += int(np.count_nonzero(chunk == 0))  # several times faster than counting floats


def _grid(low: float, high: float) -> tuple[int, int]:
    """Return the smallest exponent of two whose bins hold [low, high], and the first bin's number."""
    largest = max(abs(low), abs(high))
    exponent = max(_FINEST, math.frexp(largest)[1] - _FINEST_SHARE)
    if high > low:  # not before this can the range fit: saves counting up to it one by one
        exponent = max(exponent, math.frexp((high - low) / BINS)[1] - 1)
    while _number(high, exponent) - _number(low, exponent) >= BINS:
        exponent += 1
    return exponent, _number(low, exponent)


def _number(value: float, exponent: int) -> int:
    return math.floor(math.ldexp(value, -exponent))
