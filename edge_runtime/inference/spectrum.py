"""Windowed spectra: the periodogram of a window of readings, and mel filters over the spectra of short frames."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from edge_runtime.inference.engine import Array

_CACHED = 64  # weights and filters of so many declarations are kept; a daemon has a few


@lru_cache(maxsize=_CACHED)
def hann(size: int) -> Array:
    """Return the periodic Hann window, ``0.5 - 0.5 cos(2 pi n / size)``, float64 [size], read-only.

    Source: Harris, On the use of windows for harmonic analysis with the discrete Fourier transform, Proc. IEEE 66
    (1978), equation 27; "periodic" as its DFT-even form.
    """
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(size) / size)
    return _frozen(window)


@lru_cache(maxsize=_CACHED)
def frequencies(size: int, sample_rate: float) -> Array:
    """Return the frequencies of the lines of a one-sided spectrum in Hz, float64 [size // 2 + 1], read-only."""
    return _frozen(np.arange(size // 2 + 1) * (sample_rate / size))


def periodogram(values: Array, sample_rate: float) -> Array:
    """Return the one-sided power spectral density, float64 [..., size // 2 + 1], in units² per Hz.

    ``P[k] = c[k] |FFT(w x)[k]|² / (sample_rate * sum(w²))`` with the Hann window w and ``c = 2`` but for 0 Hz and, with
    an even size, half the sample rate, where it is 1. It is one segment of Welch, The use of fast Fourier transform for
    the estimation of power spectra, IEEE Trans. Audio Electroacoust. 15 (1967), and `scipy.signal.periodogram` with
    ``window="hann"``, ``scaling="density"``.

    Args:
        values: Readings with their mean removed, float64 [..., size].
        sample_rate: Readings a second.
    """
    size = values.shape[-1]
    spectrum = np.fft.rfft(values * hann(size), axis=-1)
    density = (spectrum.real**2 + spectrum.imag**2) / (sample_rate * _hann_power(size))
    density[..., 1 : (size + 1) // 2] *= 2.0
    return np.asarray(density)


@lru_cache(maxsize=_CACHED)
def _hann_power(size: int) -> float:
    return float(np.sum(np.square(hann(size))))


def mel_of(hertz: float) -> float:
    """Return HTK's mel, ``2595 log10(1 + f / 700)``.

    Source: O'Shaughnessy, Speech Communication: Human and Machine (1987), as The HTK Book, section 5.4, uses it.
    """
    return float(2595.0 * np.log10(1.0 + hertz / 700.0))


@lru_cache(maxsize=_CACHED)
def mel_filters(fft: int, sample_rate: float, filters: int, fmin: float, fmax: float) -> Array:
    """Return triangular filters over the lines of a spectrum, float64 [fft // 2 + 1, filters], read-only.

    Corners lie evenly in mel between `fmin` and `fmax`; each filter rises from 0 at the corner before its centre to 1
    there and falls to 0 at the next, linearly in Hz, and is not normalised. These are
    ``librosa.filters.mel(htk=True, norm=None)`` and ``torchaudio.functional.melscale_fbanks(mel_scale="htk")``.
    """
    corners = 700.0 * (10.0 ** (np.linspace(mel_of(fmin), mel_of(fmax), filters + 2) / 2595.0) - 1.0)
    lines = frequencies(fft, sample_rate)[:, None]
    rising = (lines - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - lines) / (corners[2:] - corners[1:-1])
    return _frozen(np.maximum(0.0, np.minimum(rising, falling)))


def _frozen(array: Array) -> Array:
    array.setflags(write=False)
    return array
