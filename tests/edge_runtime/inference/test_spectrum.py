"""Spectra and mel filters against scipy and the formulas they are written down with."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from edge_runtime.inference.spectrum import frequencies, hann, mel_filters, mel_of, periodogram


@pytest.mark.parametrize("size", [2, 7, 64, 1000])
def test_the_window_is_the_periodic_one(size: int) -> None:
    """It is scipy's, and the cached array cannot be changed by accident."""
    np.testing.assert_allclose(hann(size), scipy.signal.get_window("hann", size), atol=1e-15)
    assert hann(size) is hann(size)
    assert not hann(size).flags.writeable


@pytest.mark.parametrize("size", [2, 3, 64, 101, 1024])
def test_the_periodogram_is_scipys(size: int) -> None:
    """Lines and densities, also of several signals at once and where the size is odd."""
    values = np.random.default_rng(size).normal(size=(3, 2, size))
    values -= values.mean(axis=-1, keepdims=True)
    lines, expected = scipy.signal.periodogram(values, 500.0, "hann")
    np.testing.assert_allclose(frequencies(size, 500.0), lines, rtol=1e-12)
    np.testing.assert_allclose(periodogram(values, 500.0), expected, rtol=1e-9, atol=1e-18)


def test_mel_is_htks() -> None:
    """1000 Hz is 1000 mel, near enough, by its construction, and 0 is 0."""
    assert mel_of(1000.0) == pytest.approx(1000.0, abs=0.02)
    assert mel_of(0.0) == 0.0


@pytest.mark.parametrize(("fft", "filters", "fmin", "fmax"), [(256, 20, 0.0, 8000.0), (512, 40, 20.0, 7600.0)])
def test_mel_filters_are_triangles(fft: int, filters: int, fmin: float, fmax: float) -> None:
    """Each weight is that of the triangle through its three corners, computed one by one."""
    found = mel_filters(fft, 16_000.0, filters, fmin, fmax)
    low, high = mel_of(fmin), mel_of(fmax)
    mels = [low + (high - low) * index / (filters + 1) for index in range(filters + 2)]
    corners = [700 * (10 ** (mel / 2595) - 1) for mel in mels]
    for line in range(fft // 2 + 1):
        hertz = line * 16_000 / fft
        for index in range(filters):
            left, centre, right = corners[index : index + 3]
            inside = (hertz - left) / (centre - left) if hertz <= centre else (right - hertz) / (right - centre)
            assert found[line, index] == pytest.approx(max(0.0, inside), abs=1e-9)
