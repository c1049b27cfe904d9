"""The streaming histogram, against keeping every value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from distributions import NAMES, cuts, values
from numpy.typing import NDArray

from optimizer.calibrate.histogram import BINS, Histogram


def _state(histogram: Histogram) -> list[object]:
    return [
        *(histogram.low, histogram.high, histogram.count, histogram.zeros, histogram.edge_low, histogram.width),
        histogram.counts.tolist(),
    ]


def _of(*batches: NDArray[np.float32]) -> Histogram:
    histogram = Histogram()
    for batch in batches:
        histogram.update(batch)
    return histogram


@pytest.mark.parametrize("name", NAMES)
def test_counts_equal_a_brute_force_count(name: str) -> None:
    """Every bin holds exactly the values between its edges; extremes and zeros are those of the raw values."""
    raw = values(name)
    histogram = _of(*cuts(raw, 1))
    assert (histogram.low, histogram.high, histogram.count) == (raw.min(), raw.max(), raw.size)
    edges = histogram.edge_low + np.arange(BINS + 1) * histogram.width
    expected = np.histogram(raw.astype(np.float64), edges)[0]
    assert histogram.counts.tolist() == expected.tolist()
    assert (histogram.counts.sum(), histogram.zeros) == (raw.size, (raw == 0).sum())


@pytest.mark.parametrize("name", NAMES)
def test_the_cut_into_batches_and_their_order_do_not_matter(name: str) -> None:
    """One batch, many, forwards or backwards: the same histogram, bit by bit."""
    raw = values(name)
    whole = _state(_of(raw))
    for seed in range(10):
        batches = list(cuts(raw, seed))
        assert _state(_of(*batches)) == whole
        assert _state(_of(*reversed(batches))) == whole


@pytest.mark.parametrize("name", NAMES)
def test_the_bins_are_as_narrow_as_a_power_of_two_allows(name: str) -> None:
    """Half the width would not hold the range, or is below what a float32 or any quantizer can tell apart."""
    histogram = _of(values(name))
    assert math.frexp(histogram.width)[0] == 0.5
    half = histogram.width / 2
    needed = math.floor(histogram.high / half) - math.floor(histogram.low / half) + 1
    assert needed > BINS or histogram.width <= max(abs(histogram.low), abs(histogram.high)) * 2**-22 or needed <= 2


def test_a_huge_value_after_tiny_ones_costs_no_memory() -> None:
    """The bins grow in width, never in number, over the whole reach of float32."""
    histogram = Histogram()
    for exponent in range(-40, 38):
        histogram.update(np.array([-(10.0**exponent), 10.0**exponent], np.float32))
        assert histogram.counts.shape == (BINS,)
        assert histogram.counts.dtype == np.int64
    assert histogram.counts.sum() == 2 * 78
    histogram.update(np.array([-3.4e38, 3.4e38], np.float32))
    assert histogram.counts.sum() == 2 * 79


def test_channels_keep_their_own_extremes() -> None:
    """Along axis 1, over samples and space, in any cut."""
    raw = np.random.default_rng(0).normal(0, 1, (13, 5, 4, 3)).astype(np.float32) * np.arange(1, 6)[:, None, None]
    for array in (raw, raw[..., 0, 0]):
        histogram = _of(*cuts(array.astype(np.float32), 3))
        others = tuple(axis for axis in range(array.ndim) if axis != 1)
        assert histogram.channel_low is not None
        assert histogram.channel_high is not None
        assert histogram.channel_low.tolist() == array.min(axis=others).astype(np.float32).tolist()
        assert histogram.channel_high.tolist() == array.max(axis=others).astype(np.float32).tolist()


def test_there_are_no_channels_without_an_axis_or_where_it_varies() -> None:
    """A vector has none; a sequence of changing length has none either, and stays without."""
    assert _of(np.ones(3, np.float32)).channel_low is None
    varying = _of(*(np.ones((2, size), np.float32) for size in (3, 4, 4)))
    assert (varying.channel_low, varying.channel_high) == (None, None)
    assert varying.count == 22


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_stays_visible(odd: float) -> None:
    """It shows in the range for good, whatever comes after."""
    histogram = _of(np.ones(3, np.float32), np.array([0, odd, 1], np.float32), np.ones(3, np.float32))
    assert not histogram.finite
    assert not (math.isfinite(histogram.low) and math.isfinite(histogram.high))


def test_what_saw_nothing_has_an_empty_range() -> None:
    """A tensor without values gets (0, 0), never infinities; a single number is a tensor too."""
    empty = _of(np.empty((0, 3), np.float32))
    assert (empty.low, empty.high, empty.count, empty.finite) == (0.0, 0.0, 0, True)
    assert _of(np.array(2.5, np.float32)).high == 2.5


def test_of_large_samples_a_regular_pick_is_counted() -> None:
    """About as many as asked for, alike from every channel, independent of the cut; extremes are of all values."""
    raw = np.random.default_rng(0).permutation(9 * 6 * 40 * 32).reshape(9, 6, 40, 32).astype(np.float32)
    raw[:] = np.arange(6)[:, None, None] + raw / raw.size
    whole, cut = Histogram(most=1000), Histogram(most=1000)
    whole.update(raw)
    for batch in cuts(raw, 5):
        cut.update(batch)
    assert _state(cut) == _state(whole)
    assert (whole.low, whole.high, whole.count) == (raw.min(), raw.max(), raw.size)
    assert 0.6 * 9 * 1000 < whole.counts.sum() <= 9 * 1001
    edges = np.round((np.arange(7) - whole.edge_low) / whole.width).astype(int)
    per_channel = np.diff(np.append(0, np.cumsum(whole.counts))[np.clip(edges, 0, BINS)])
    assert per_channel.min() > 0.95 * per_channel.max()
