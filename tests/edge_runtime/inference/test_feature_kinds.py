"""Each feature against another implementation of its definition, on seeded signals."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import scipy.signal
import scipy.stats

from edge_runtime.inference.engine import Array
from edge_runtime.inference.feature_kinds import (
    BandEnergy,
    CrestFactor,
    Feature,
    Kurtosis,
    Mean,
    Peak,
    PeakToPeak,
    Rms,
    Skewness,
    SpectralCentroid,
    Std,
    ZeroCrossings,
)
from edge_runtime.inference.features import Features

RATE = 12_800.0
EVERY: tuple[Feature, ...] = (
    *(Mean(), Rms(), Std(), Peak(), PeakToPeak(), Kurtosis(), Skewness(), CrestFactor(), ZeroCrossings()),
    *(SpectralCentroid(), BandEnergy(((0.0, 1000.0), (1000.0, 6400.0))), BandEnergy(((0.0, 6400.0),), decibels=True)),
)


def impacts(seed: int, size: int) -> Array:
    """Return a float32 signal with offset, tone, noise and a few large impacts, such as a bearing gives."""
    generator = np.random.default_rng(seed)
    signal = 0.3 + np.sin(np.arange(size) * 0.1) + generator.normal(size=size)
    signal[generator.integers(0, size, 3)] += generator.normal(scale=10, size=3)
    return np.asarray(signal, np.float32)


def crossings(signal: Array) -> int:
    """Count changes of sign one by one."""
    signs = [value >= 0 for value in signal.tolist()]
    return sum(one != other for one, other in pairwise(signs))


def centroid(signal: Array) -> float:
    """Return the centre of scipy's periodogram."""
    lines, power = scipy.signal.periodogram(signal.astype(float), RATE, "hann")
    return float((lines * power).sum() / power.sum())


REFERENCES: list[tuple[Feature, Callable[[Array], float]]] = [
    (Mean(), lambda x: math.fsum(x.tolist()) / len(x)),
    (Rms(), lambda x: math.sqrt(math.fsum(value * value for value in x.tolist()) / len(x))),
    (Std(), lambda x: float(np.std(x.astype(float)))),
    (Peak(), lambda x: max(abs(value) for value in x.tolist())),
    (PeakToPeak(), lambda x: max(x.tolist()) - min(x.tolist())),
    (Kurtosis(), lambda x: float(scipy.stats.kurtosis(x.astype(float)))),
    (Skewness(), lambda x: float(scipy.stats.skew(x.astype(float)))),
    (CrestFactor(), lambda x: max(abs(v) for v in x.tolist()) / math.sqrt(sum(v * v for v in x.tolist()) / len(x))),
    (ZeroCrossings(), crossings),
    (SpectralCentroid(), centroid),
]


def of_one(feature: Feature, signal: Array) -> Array:
    """Return a feature of one signal of one channel."""
    features = Features(len(signal), (feature,), sample_rate=RATE)
    return features.of(signal.reshape(1, -1, 1))[0]


@pytest.mark.parametrize(("feature", "reference"), REFERENCES, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("size", [2, 3, 257, 1024])
def test_the_definition_is_met(feature: Feature, reference: Callable[[Array], float], size: int) -> None:
    """Each number is the other implementation's, to what float32 holds of it."""
    for seed in range(5):
        signal = impacts(seed, size)
        assert of_one(feature, signal) == pytest.approx(reference(signal), rel=2e-6, abs=1e-6), seed


@pytest.mark.parametrize("feature", EVERY, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("level", [0.0, -0.0, 1.0, 0.1, -1234.567, 3e38, 1e-42])
@pytest.mark.parametrize("size", [24, 1000])
def test_a_constant_has_finite_features(feature: Feature, level: float, size: int) -> None:
    """The documented values are given, and no rounding is taken for a signal."""
    signal = np.full(size, level, np.float32)
    given = of_one(feature, signal)
    exact = abs(float(signal[0]))
    expected = {Mean: float(signal[0]), Rms: exact, Peak: exact, CrestFactor: float(exact > 0)}.get(type(feature), 0.0)
    if isinstance(feature, BandEnergy) and feature.decibels:
        expected = -200.0
    assert given == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("feature", EVERY, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("scale", [1e-44, 1e-20, 1e18, 3e38])
def test_extreme_readings_have_finite_features(feature: Feature, scale: float) -> None:
    """From the smallest to the largest float32 nothing overflows into infinity or NaN."""
    signs = np.sign(np.random.default_rng(4).normal(size=64))
    assert np.isfinite(of_one(feature, np.asarray(signs * scale, np.float32))).all()


def test_known_values_of_a_sine() -> None:
    """The textbook's numbers for a sine of amplitude 2 with 16 whole periods."""
    signal = np.asarray(2 * np.sin(2 * np.pi * 16 * (np.arange(1024) + 0.5) / 1024), np.float32)
    expected = {Rms: math.sqrt(2), CrestFactor: math.sqrt(2), Kurtosis: -1.5, Skewness: 0.0, ZeroCrossings: 31}
    for kind, value in expected.items():
        assert of_one(kind(), signal) == pytest.approx(value, abs=2e-3), kind


@pytest.mark.parametrize("size", [1024, 1025, 1000])
def test_a_sine_has_its_energy_in_its_band(size: int) -> None:
    """A² / 2 lies in the band around the frequency, an offset counts nowhere, and the other bands have next to none."""
    signal = 50 + 3 * np.sin(2 * np.pi * 1500 * np.arange(size) / RATE)
    bands = ((0.0, 1000.0), (1000.0, 2000.0), (2000.0, RATE / 2))
    low, own, high = of_one(BandEnergy(bands), np.asarray(signal, np.float32))
    assert own == pytest.approx(4.5, rel=1e-3)
    assert max(low, high) < 1e-4 * own
    decibels = of_one(BandEnergy(bands, decibels=True), np.asarray(signal, np.float32))
    assert decibels == pytest.approx(10 * np.log10([low, own, high]), rel=1e-4)


@pytest.mark.parametrize("size", [64, 65])
def test_bands_that_touch_share_no_line(size: int) -> None:
    """Bands from 0 to half the sample rate hold each line once: together the whole of scipy's periodogram."""
    edges = [0.0, 200.0, 1000.0, 1400.0, RATE / 2]
    signal = impacts(3, size)
    energies = of_one(BandEnergy(tuple(pairwise(edges))), signal)
    lines, power = scipy.signal.periodogram(signal.astype(float), RATE, "hann")
    for energy, (low, high) in zip(energies, pairwise(edges), strict=True):
        inside = (lines >= low) & ((lines < high) | (high == RATE / 2))
        assert energy == pytest.approx(power[inside].sum() * RATE / size, rel=1e-5)
    assert energies.sum() == pytest.approx(power.sum() * RATE / size, rel=1e-5)


def test_noise_has_its_variance_in_all_bands_together() -> None:
    """Parseval: the energies of white noise sum up to its variance, on average over windows."""
    noise = np.random.default_rng(8).normal(scale=2.0, size=(400, 512, 1))
    found = Features(512, (BandEnergy(((0.0, RATE / 2),)),), sample_rate=RATE).of(noise)
    assert found.mean() == pytest.approx(4.0, rel=0.02)
