"""Ranges read from histograms, against references that keep every value and search by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from distributions import NAMES, SMOOTH, cuts, values
from numpy.typing import NDArray

from optimizer.calibrate.entropy import Divergences
from optimizer.calibrate.histogram import BINS, Histogram
from optimizer.calibrate.ranges import METHODS, chosen_method, expected_error, ranges_of


def _histogram(raw: NDArray[np.float32]) -> Histogram:
    histogram = Histogram()
    for batch in cuts(raw, 2):
        histogram.update(batch)
    return histogram


def _range(raw: NDArray[np.float32], method: str) -> tuple[float, float]:
    return ranges_of({"t": _histogram(raw)}, method)["t"]


def _raw_error(raw: NDArray[np.float32], low: float, high: float, bits: int = 8) -> float:
    """Quantize and restore every value as QuantizeLinear does; relative to the power."""
    exact = raw.astype(np.float64)
    scale = (high - low) / (2**bits - 1)
    zero_point = np.round(-low / scale)
    restored = (np.clip(np.round(exact / scale) + zero_point, 0, 2**bits - 1) - zero_point) * scale
    return float(np.square(restored - exact).sum() / np.square(exact).sum())


def _raw_divergence(raw: NDArray[np.float32], low: int, high: int, histogram: Histogram) -> float:
    """KL(P || Q) between two edges of the histogram, loop by loop, from the raw values."""
    numbers = np.floor(raw[raw != 0].astype(np.float64) / histogram.width) - histogram.edge_low / histogram.width
    inside = numbers[(numbers >= low) & (numbers < high)]
    q_counts = np.array([(inside == bin_number).sum() for bin_number in range(low, high)], float)
    p = q_counts.copy()
    p[0] += (numbers < low).sum()
    p[-1] += (numbers >= high).sum()
    q = np.zeros_like(q_counts)
    bounds = np.floor(np.arange(257) * (high - low) / 256 + 0.5).astype(int)
    for begin, end in itertools.pairwise(bounds):
        filled = q_counts[begin:end] > 0
        if filled.any():
            q[begin:end][filled] = q_counts[begin:end].sum() / filled.sum()
    zeros = (raw == 0).sum()
    p, q = np.append(p, zeros) / raw.size, np.append(q, zeros) / (inside.size + zeros)
    filled = p > 0
    return float((p[filled] * np.log(p[filled] / q[filled])).sum())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NAMES)
def test_every_range_includes_zero_and_nothing_that_was_not_seen(name: str, method: str) -> None:
    """Quantizers need zero in the range; no method reaches beyond the smallest and the largest value."""
    raw = values(name)
    low, high = _range(raw, method)
    assert min(float(raw.min()), 0.0) <= low <= 0.0 <= high <= max(float(raw.max()), 0.0)
    assert np.isfinite([low, high]).all()
    assert (low < high) == bool(raw.any())


@pytest.mark.parametrize("name", NAMES)
def test_minmax_is_exact(name: str) -> None:
    """To the last bit, with zero."""
    raw = values(name)
    assert _range(raw, "minmax") == (min(float(raw.min()), 0.0), max(float(raw.max()), 0.0))


@pytest.mark.parametrize("name", NAMES)
def test_the_percentile_lies_within_one_bin_of_the_sorted_values(name: str) -> None:
    """Of the raw values, 0.005 % lie below and as many above, up to the width of a bin."""
    raw = values(name)
    tail, width, one = 0.00005, _histogram(raw).width, 1e-9
    low, high = _range(raw, "percentile")
    assert (raw < low - width).mean() <= tail + one
    assert (raw > high + width).mean() <= tail + one
    assert low == min(0.0, raw.min()) or (raw <= low + width).mean() >= tail - one
    assert high == max(0.0, raw.max()) or (raw >= high - width).mean() >= tail - one


@pytest.mark.parametrize("name", ["normal", "relu", "heavy tails", "bimodal", "negative", "5e37"])
def test_the_divergence_is_that_of_the_definition(name: str) -> None:
    """Cumulative sums give what loops over raw values give, for the chosen range and for others."""
    raw = values(name)[:4000]
    histogram = _histogram(raw)
    table = Divergences(histogram)
    low, high = _range(raw, "entropy")
    edges = [round((end - histogram.edge_low) / histogram.width) for end in (low, high)]
    chosen = (
        table.first if low == min(histogram.low, 0) else edges[0],
        table.last if high == max(histogram.high, 0) else edges[1],
    )
    for pair in {chosen, (table.first, table.last)}:
        of_pair = float(table.of(np.array([pair[0]]), np.array([pair[1]]))[0])
        assert of_pair == pytest.approx(_raw_divergence(raw, *pair, histogram), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", ["normal", "relu", "heavy tails", "bimodal", "negative"])
@pytest.mark.parametrize("seed", range(3))
def test_no_other_range_diverges_clearly_less(name: str, seed: int) -> None:
    """A search over all pairs of every eighth edge finds no range that is more than a little better."""
    table = Divergences(_histogram(values(name, seed)))
    histogram = _histogram(values(name, seed))
    low, high = _range(values(name, seed), "entropy")
    full = (min(histogram.low, 0.0), max(histogram.high, 0.0))
    chosen_low = table.first if low == full[0] else round((low - histogram.edge_low) / histogram.width)
    chosen_high = table.last if high == full[1] else round((high - histogram.edge_low) / histogram.width)
    found = float(table.of(np.array([chosen_low]), np.array([chosen_high]))[0])
    counts = histogram.counts
    lows = [e for e in range(table.first, table.origin, 8) if counts[e]] or [table.origin]
    highs = [e for e in range(table.last, table.origin, -8) if counts[e - 1]] or [table.origin]
    pairs = np.array([pair for pair in itertools.product(lows, highs) if pair[1] - pair[0] >= 256])
    assert found <= 1.2 * table.of(pairs[:, 0], pairs[:, 1]).min()


def test_entropy_has_a_choice_and_makes_use_of_it() -> None:
    """With heavy tails the range of least divergence is not the full one."""
    raw = values("heavy tails")
    low, high = _range(raw, "entropy")
    assert high - low < 0.8 * (raw.max() - raw.min())


@pytest.mark.parametrize("name", [*SMOOTH, "heavy tails", "whole numbers", "narrow and far from zero"])
def test_no_other_range_has_clearly_less_squared_error(name: str) -> None:
    """Quantizing every raw value, for pairs of ends all over the range, finds none that is 5 % better."""
    raw = values(name)
    full = _range(raw, "minmax")
    shares = np.linspace(0.05, 1, 20)
    pairs = itertools.product(shares if full[0] < 0 else [1.0], shares if full[1] > 0 else [1.0])
    best = min(_raw_error(raw, a * full[0], b * full[1]) for a, b in pairs)
    assert _raw_error(raw, *_range(raw, "mse")) <= 1.05 * best + 1e-9


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", SMOOTH)
def test_the_expected_error_is_the_real_one(name: str, bits: int) -> None:
    """Within 5 % of quantizing every value, for the full range and for clipped ones."""
    raw = values(name)
    full = _range(raw, "minmax")
    for share in (1.0, 0.8, 0.5):
        ends = (share * full[0], share * full[1])
        expected = expected_error(_histogram(raw), *ends, bits=bits)
        assert expected == pytest.approx(_raw_error(raw, *ends, bits=bits), rel=0.05)


def test_the_expected_error_of_what_a_grid_holds_is_nothing() -> None:
    """Zeros, a constant and the ends of the range are exact; an empty range loses all of the signal."""
    for name in ("zeros", "constant", "negative constant"):
        assert expected_error(_histogram(values(name)), *_range(values(name), "minmax")) < 1e-12
    assert expected_error(_histogram(values("three values")), -1.0, 6.0) < 1e-5
    assert expected_error(_histogram(values("normal")), 0.0, 0.0) == pytest.approx(1.0, rel=1e-4)


def test_auto_clips_a_planted_outlier_and_leaves_a_full_range_alone() -> None:
    """One far value among many costs the others their resolution; evenly spread values need all of the range."""
    normal = values("normal")
    with_outlier = _histogram(np.append(normal, np.float32(40.0)))
    assert chosen_method(with_outlier) != "minmax"
    assert ranges_of({"t": with_outlier}, "auto")["t"][1] < 39.0
    uniform = _histogram(np.random.default_rng(0).uniform(-1, 2, 40_000).astype(np.float32))
    assert chosen_method(uniform) == "minmax"


@pytest.mark.parametrize("name", NAMES)
def test_auto_is_never_worse_than_minmax(name: str) -> None:
    """By the error it goes by; and it takes the range of the method it names."""
    histogram = _histogram(values(name))
    ranges = {method: ranges_of({"t": histogram}, method)["t"] for method in METHODS}
    assert ranges["auto"] == ranges[chosen_method(histogram)]
    assert expected_error(histogram, *ranges["auto"]) <= expected_error(histogram, *ranges["minmax"])


def test_a_pick_of_the_values_gives_nearly_the_same_ranges() -> None:
    """With a sixteenth of the values, percentiles move by a few per cent, and the least error hardly grows."""
    raw = np.random.default_rng(0).normal(0, 1, (64, 16, 64, 64)).astype(np.float32)
    whole, picked = Histogram(), Histogram(most=4096)
    whole.update(raw)
    picked.update(raw)
    assert picked.counts.sum() < whole.counts.sum() / 15
    of_whole, of_picked = ({method: ranges_of({"t": h}, method)["t"] for method in METHODS} for h in (whole, picked))
    assert of_picked["minmax"] == of_whole["minmax"]
    assert of_picked["percentile"] == pytest.approx(of_whole["percentile"], rel=0.04)
    for method in ("mse", "auto"):
        assert expected_error(whole, *of_picked[method]) <= 1.03 * expected_error(whole, *of_whole[method])


def test_all_methods_of_an_empty_tensor_agree() -> None:
    """What saw nothing has the empty range by every method, and there are 2048 bins to show for it."""
    assert Histogram().counts.shape == (BINS,)
    assert {ranges_of({"t": Histogram()}, method)["t"] for method in METHODS} == {(0.0, 0.0)}
