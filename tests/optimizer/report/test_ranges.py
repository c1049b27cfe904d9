"""The coarse histogram says the same as the fine one: extremes, counts, and what a range clips."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from reports import seen

from optimizer.report.plots import widest
from optimizer.report.ranges import clipped_share, is_drawable, range_of
from optimizer.report.record import BINS


@pytest.mark.parametrize("bins", [2048, 64, 100, 1])
def test_no_value_is_lost(bins: int) -> None:
    """Whatever the number of fine bins, all values are in the 64, which span the same width."""
    values = np.random.default_rng(0).normal(0, 2, 10_000)
    found = range_of("x", seen(values, bins), (-1.0, 1.0), "mse")
    assert len(found.counts) == BINS
    assert sum(found.counts) == 10_000
    assert (found.low, found.high) == (values.min(), values.max())
    assert found.width is not None
    assert found.edge_low is not None
    assert found.edge_low + BINS * found.width == pytest.approx(values.max())


def test_joined_bins_hold_what_they_cover() -> None:
    """Each coarse bin counts exactly the values between its edges."""
    values = np.random.default_rng(1).uniform(-1, 1, 5000)
    found = range_of("x", seen(values), (-1.0, 1.0), "mse")
    expected, _ = np.histogram(values, BINS, (values.min(), values.max()))
    assert found.counts == tuple(expected)


@pytest.mark.parametrize("limit", [0.5, 1.0, 2.0, 3.0])
def test_the_clipped_share_is_that_of_the_values(limit: float) -> None:
    """Estimated from 64 bins, it lies within half a bin's values of the true share."""
    values = np.random.default_rng(2).normal(0, 1, 50_000)
    found = range_of("x", seen(values), (-limit, limit), "percentile")
    assert clipped_share(found) == pytest.approx(float((np.abs(values) > limit).mean()), abs=0.005)


def test_a_range_that_holds_everything_clips_nothing() -> None:
    """Smallest and largest value, and anything wider."""
    values = np.random.default_rng(3).normal(0, 1, 1000)
    for wider in (1.0, 2.0):
        chosen = (float(values.min()) * wider, float(values.max()) * wider)
        assert clipped_share(range_of("x", seen(values), chosen, "minmax")) == pytest.approx(0.0, abs=1e-9)


def test_most_clipped_come_first_then_what_few_values_stretch() -> None:
    """Of four tensors: the clipped ones by share, then the one with a lone outlier, last the even one."""
    random = np.random.default_rng(4)
    even = random.uniform(0, 1, 5000)
    lone = np.append(even, 40.0)
    ranges = [
        range_of("even", seen(even), (0.0, 1.0), "minmax"),
        range_of("lone", seen(lone), (0.0, 40.0), "minmax"),
        range_of("clipped a little", seen(even), (0.0, 0.9), "mse"),
        range_of("clipped a lot", seen(even), (0.0, 0.5), "mse"),
    ]
    assert [found.tensor for found in widest(ranges)] == ["clipped a lot", "clipped a little", "lone", "even"]


def test_what_cannot_be_drawn_is_not_shown() -> None:
    """A tensor without values, with one value only, or with unknown numbers."""
    values = np.random.default_rng(5).normal(0, 1, 100)
    good = range_of("x", seen(values), (-1.0, 1.0), "mse")
    for change in ({"low": None}, {"high": good.low}, {"width": 0.0}, {"chosen_low": float("nan")}):
        odd = msgspec.structs.replace(good, **change)
        assert not is_drawable(odd)
        assert widest([odd]) == []
        assert clipped_share(odd) == 0.0
