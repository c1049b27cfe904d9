"""Log-mel spectrogram of a window: what models of sound and of vibration at audio rates are trained on."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edge_runtime.inference.engine import Array
from edge_runtime.inference.signals import Signals
from edge_runtime.inference.spectrum import hann, mel_filters

# OpenBLAS computes products of at most so many multiplications in the calling thread; above, it wakes threads, which
# then spin for longer than the product took (interface/gemm.c: SMP_THRESHOLD_MIN * GEMM_MULTITHREAD_THRESHOLD).
_ONE_THREAD = 2**18

# Bounds on what a manifest can make a device allocate: filters of 32 MiB, frames of 128 MiB.
_Length = Annotated[int, msgspec.Meta(ge=2, le=1 << 15)]
_MOST_VALUES = 1 << 24


class LogMel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="log_mel"):
    """``ln(max(mel, floor))`` of the power spectra of short frames, with HTK's mel filters.

    Frames start every `hop` readings, as many as fit whole: ``1 + (N - frame) // hop``, nothing is padded in front or
    behind. Each is weighted by the periodic Hann window, the mean not removed, and ``|FFT|²`` goes through the filters
    of `spectrum.mel_filters`. Davis and Mermelstein, Comparison of parametric representations for monosyllabic word
    recognition, IEEE Trans. ASSP 28 (1980). The same numbers as ``numpy.log(librosa.feature.melspectrogram(…,
    n_fft=frame, hop_length=hop, center=False, power=2, htk=True, norm=None))``. A longer `fft` has its zeros behind the
    frame; librosa puts the frame in their middle.

    Attributes:
        frame: Readings in a frame.
        hop: Readings from one frame to the next.
        n_mels: Filters.
        fmin: Where the first filter begins, Hz.
        fmax: Where the last one ends, Hz; null for half the sample rate.
        fft: Length of the transform, `frame` with zeros behind; null for `frame`.
        floor: Least power, so that silence has a logarithm.
        layout: ``time_first`` gives [frames, n_mels], ``mels_first`` [n_mels, frames].
    """

    frame: _Length
    hop: Annotated[int, msgspec.Meta(ge=1)]
    n_mels: Annotated[int, msgspec.Meta(ge=1, le=256)]
    fmin: float = 0.0
    fmax: float | None = None
    fft: _Length | None = None
    floor: float = 1e-10
    layout: Literal["time_first", "mels_first"] = "time_first"

    def shape(self, size: int) -> tuple[int, ...]:
        """Return the shape of what one channel of a window of this size gives."""
        frames = 1 + (size - self.frame) // self.hop
        return (frames, self.n_mels) if self.layout == "time_first" else (self.n_mels, frames)

    def fault(self, size: int, sample_rate: float) -> str | None:
        """Return why the feature cannot be computed of such windows, None where it can."""
        if not sample_rate > 0:
            return "log_mel needs sample_rate"
        if not 2 <= self.frame <= size:
            return f"a frame of {self.frame} readings does not fit into a window of {size}"
        if self._fft < self.frame:
            return f"fft = {self._fft} is shorter than the frame of {self.frame}"
        if (1 + (size - self.frame) // self.hop) * self._fft > _MOST_VALUES:
            return f"frames of {self._fft} every {self.hop} readings of {size} are more than {_MOST_VALUES} numbers"
        if not 0 < self.floor < np.inf:
            return f"floor must be a positive number, not {self.floor}"
        return self._filter_fault(sample_rate)

    def _filter_fault(self, sample_rate: float) -> str | None:
        fmax = self._fmax(sample_rate)
        if not 0 <= self.fmin < fmax <= sample_rate / 2:
            return f"fmin {self.fmin:g} to fmax {fmax:g} Hz is no range from 0 to {sample_rate / 2:g}"
        empty = np.flatnonzero(~self._filters(sample_rate).any(axis=0))
        if empty.size:
            spacing = sample_rate / self._fft
            return f"mel filter {empty[0]} holds no line, they are {spacing:g} Hz apart: fewer n_mels or a longer frame"
        return None

    def of(self, signals: Signals) -> Array:
        """Return the feature, float64 [n, channels, frames * n_mels] or in the other layout."""
        frames = sliding_window_view(signals.values, self.frame, axis=-1)[:, :, :: self.hop]
        spectrum = np.fft.rfft(frames * hann(self.frame), n=self._fft, axis=-1)
        mel = self._filtered(spectrum.real**2 + spectrum.imag**2, signals.sample_rate)
        logarithm = np.log(np.maximum(mel, self.floor))
        turned = logarithm if self.layout == "time_first" else np.swapaxes(logarithm, 2, 3)
        return np.ascontiguousarray(turned).reshape((*turned.shape[:2], -1))

    def _filtered(self, power: Array, sample_rate: float) -> Array:
        """Return the powers behind the filters, [n, channels, frames, n_mels].

        Each window's product is taken alone, so that the batch does not change its bits, and in blocks of frames.
        """
        filters = self._filters(sample_rate)
        rows = max(1, _ONE_THREAD // filters.size)
        blocks = [power[:, :, first : first + rows] @ filters for first in range(0, power.shape[2], rows)]
        return np.concatenate(blocks, axis=2)

    @property
    def _fft(self) -> int:
        return self.frame if self.fft is None else self.fft

    def _fmax(self, sample_rate: float) -> float:
        return sample_rate / 2 if self.fmax is None else self.fmax

    def _filters(self, sample_rate: float) -> Array:
        return mel_filters(self._fft, sample_rate, self.n_mels, self.fmin, self._fmax(sample_rate))
