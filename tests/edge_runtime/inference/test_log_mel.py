"""The log-mel spectrogram against sums written out."""

from __future__ import annotations

import cmath
import math

import msgspec
import numpy as np
import pytest

from edge_runtime.inference.engine import Array
from edge_runtime.inference.features import Features
from edge_runtime.inference.log_mel import LogMel
from edge_runtime.inference.spectrum import mel_filters

RATE = 8000.0


def naive(signal: Array, kind: LogMel, fft: int) -> Array:
    """Return frames x mels by a discrete Fourier transform that is a double sum."""
    filters = mel_filters(fft, RATE, kind.n_mels, kind.fmin, kind.fmax or RATE / 2)
    rows = []
    for start in range(0, len(signal) - kind.frame + 1, kind.hop):
        weighted = [
            float(signal[start + n]) * (0.5 - 0.5 * math.cos(2 * math.pi * n / kind.frame)) for n in range(kind.frame)
        ]
        power = [
            abs(sum(value * cmath.exp(-2j * math.pi * k * n / fft) for n, value in enumerate(weighted))) ** 2
            for k in range(fft // 2 + 1)
        ]
        rows.append([math.log(max(float(np.dot(power, one)), kind.floor)) for one in filters.T])
    return np.array(rows)


@pytest.mark.parametrize(
    ("kind", "fft"),
    [
        (LogMel(frame=64, hop=20, n_mels=8), 64),
        (LogMel(frame=50, hop=50, n_mels=6, fmin=300.0, fmax=3000.0, fft=64), 64),
        (LogMel(frame=33, hop=7, n_mels=3, floor=1e-3), 33),
    ],
)
def test_the_definition_is_met(kind: LogMel, fft: int) -> None:
    """Frames, window, transform, filters and logarithm, with zeros behind the frame and with an odd length."""
    for seed in range(3):
        signal = np.random.default_rng(seed).normal(size=200).astype(np.float32)
        found = Features(200, (kind,), sample_rate=RATE).of(signal.reshape(1, 200, 1))[0]
        expected = naive(signal, kind, fft)
        assert found.shape == expected.shape == (1 + (200 - kind.frame) // kind.hop, kind.n_mels)
        np.testing.assert_allclose(found, expected, atol=2e-6)


def test_silence_is_the_floor() -> None:
    """Zeros give the logarithm of the floor, not minus infinity."""
    kind = LogMel(frame=64, hop=32, n_mels=8, floor=1e-6)
    found = Features(256, (kind,), sample_rate=RATE).of(np.zeros((1, 256, 1)))
    assert found == pytest.approx(np.full(found.shape, math.log(1e-6)))


def test_the_other_layout_is_the_transpose_of_each_channel() -> None:
    """mels_first gives [channels, n_mels, frames] of what time_first gives as [channels, frames, n_mels]."""
    kind = LogMel(frame=64, hop=32, n_mels=8)
    windows = np.random.default_rng(5).normal(size=(2, 256, 3))
    plain = Features(256, (kind,), channels=3, sample_rate=RATE).of(windows)
    turned = msgspec.structs.replace(kind, layout="mels_first")
    other = Features(256, (turned,), channels=3, sample_rate=RATE).of(windows)
    assert plain.shape == (2, 3, 7, 8)
    np.testing.assert_array_equal(other, np.swapaxes(plain, 2, 3))


def test_many_frames_are_the_same_as_each_alone() -> None:
    """The blocks that filters are applied in leave nothing out and change no order."""
    kind = LogMel(frame=400, hop=160, n_mels=40, fft=512, fmin=20.0)
    window = np.random.default_rng(6).normal(size=(1, 8000, 1)).astype(np.float32)
    together = Features(8000, (kind,), sample_rate=RATE).of(window)[0]
    alone = Features(400, (kind,), sample_rate=RATE)
    apart = [alone.of(window[:, start : start + 400])[0, 0] for start in range(0, 7601, 160)]
    np.testing.assert_allclose(together, apart, atol=1e-5)
