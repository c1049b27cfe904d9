"""The features a package can declare, one struct each; docs/features.md has the formulas in one table.

In all formulas x is one channel of one window, N its size, and sums run over its N readings.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
import numpy as np

from edge_runtime.inference.engine import Array
from edge_runtime.inference.log_mel import LogMel
from edge_runtime.inference.signals import Signals, ratio
from edge_runtime.inference.spectrum import frequencies

_LEAST_ENERGY = 1e-20  # the floor under a logarithm: -200 dB


class Scalar(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """A feature that is one number of a window's channel."""

    def shape(self, size: int) -> tuple[int, ...]:
        """Return the shape of what one channel of a window of this size gives."""
        return (1,)

    def fault(self, size: int, sample_rate: float) -> str | None:
        """Return why the feature cannot be computed of such windows, None where it can."""
        return None


class Mean(Scalar, frozen=True, tag="mean"):
    """``sum(x) / N``."""

    def of(self, signals: Signals) -> Array:
        """Return the feature, float64 [n, channels, 1]."""
        return np.asarray(signals.mean[..., None])


class Rms(Scalar, frozen=True, tag="rms"):
    """``sqrt(sum(x²) / N)``: root mean square, the mean not removed; of vibration velocity what ISO 20816-1 judges."""

    def of(self, signals: Signals) -> Array:
        """Return the feature, float64 [n, channels, 1]."""
        return np.asarray(np.sqrt(signals.mean_square)[..., None])


class Std(Scalar, frozen=True, tag="std"):
    """``sqrt(sum((x - mean)²) / N)``: standard deviation with N, not N - 1, as `numpy.std`."""

    def of(self, signals: Signals) -> Array:
        """Return the feature, float64 [n, channels, 1]."""
        return np.asarray(np.sqrt(signals.variance)[..., None])


class Peak(Scalar, frozen=True, tag="peak"):
    """``max |x|``."""

    def of(self, signals: Signals) -> Array:
        """Return the feature, float64 [n, channels, 1]."""
        return np.asarray(signals.peak[..., None])


class PeakToPeak(Scalar, frozen=True, tag="peak_to_peak"):
    """``max x - min x``."""

    def of(self, signals: Signals) -> Array:
        """Return the feature, float64 [n, channels, 1]."""
        return np.asarray(np.ptp(signals.values, axis=-1)[..., None])


class Kurtosis(Scalar, frozen=True, tag="kurtosis"):
    """Fisher's (excess) kurtosis, ``m4 / m2² - 3`` with central moments ``m = sum((x - mean)^k) / N``.

    0 for a normal distribution, -1.5 for a sine; 0 is given for a constant. `scipy.stats.kurtosis` by default. Where
    rolling bearings are judged by it, the 3 is often left in: Dyer and Stewart, Detection of rolling element bearing
    damage by statistical vibration analysis, J. Mech. Design 100 (1978).
    """

    def of(self, signals: Signals) -> Array:
        """Return the feature, float64 [n, channels, 1]."""
        fourth = np.square(signals.centred_squared).mean(axis=-1)
        excess = ratio(fourth, np.square(signals.variance)) - 3.0
        return np.asarray(np.where(signals.variance > 0, excess, 0.0)[..., None])


class Skewness(Scalar, frozen=True, tag="skewness"):
    """Fisher's skewness, ``m3 / m2^1.5``; 0 is given for a constant. `scipy.stats.skew` by default."""

    def of(self, signals: Signals) -> Array:
        """Return the feature, float64 [n, channels, 1]."""
        third = (signals.centred_squared * signals.centred).mean(axis=-1)
        return ratio(third, signals.variance**1.5)[..., None]


class CrestFactor(Scalar, frozen=True, tag="crest_factor"):
    """``peak / rms``; 0 is given where all readings are 0. sqrt(2) for a sine; see ISO 20816-1 on peak and rms."""

    def of(self, signals: Signals) -> Array:
        """Return the feature, float64 [n, channels, 1]."""
        return ratio(signals.peak, np.sqrt(signals.mean_square))[..., None]


class ZeroCrossings(Scalar, frozen=True, tag="zero_crossings"):
    """How often the sign changes from one reading to the next, 0 counting as positive; at most N - 1."""

    def of(self, signals: Signals) -> Array:
        """Return the feature, float64 [n, channels, 1]."""
        negative = signals.values < 0
        changes = np.count_nonzero(negative[..., 1:] != negative[..., :-1], axis=-1)
        return np.asarray(changes, np.float64)[..., None]


class SpectralCentroid(Scalar, frozen=True, tag="spectral_centroid"):
    """``sum(f P) / sum(P)`` in Hz over the one-sided periodogram P of the centred window; 0 is given for a constant.

    Peeters, A large set of audio features for sound description (CUIDADO project, 2004), section 6.1.1, with power as
    the weight.
    """

    def fault(self, size: int, sample_rate: float) -> str | None:
        """Return why the feature cannot be computed of such windows, None where it can."""
        return None if sample_rate > 0 else "spectral_centroid needs sample_rate"

    def of(self, signals: Signals) -> Array:
        """Return the feature, float64 [n, channels, 1]."""
        lines = frequencies(signals.values.shape[-1], signals.sample_rate)
        return ratio((signals.density * lines).sum(axis=-1), signals.density.sum(axis=-1))[..., None]


class BandEnergy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="band_energy"):
    """Mean square of what lies in each band: the one-sided periodogram of the centred window, summed over its lines.

    ``sum(P[k] * sample_rate / N)`` over the lines with ``low <= f[k] < high``; half the sample rate itself belongs to a
    band that ends there. In units² of the readings: a sine of amplitude A well inside a band gives A² / 2. How P is
    computed and normalised: `spectrum.periodogram`.

    Attributes:
        bands: Pairs (low, high) in Hz; each must hold at least one line, and lines are sample_rate / N apart.
        decibels: Whether to give ``10 log10`` of it, with a floor of -200; energies spread over many decades, which
            int8 cannot hold, and their logarithms do not.
    """

    bands: Annotated[tuple[tuple[float, float], ...], msgspec.Meta(min_length=1)]
    decibels: bool = False

    def shape(self, size: int) -> tuple[int, ...]:
        """Return the shape of what one channel of a window of this size gives: one number a band."""
        return (len(self.bands),)

    def fault(self, size: int, sample_rate: float) -> str | None:
        """Return why the feature cannot be computed of such windows, None where it can."""
        if not sample_rate > 0:
            return "band_energy needs sample_rate"
        for low, high in self.bands:
            if not 0 <= low < high <= sample_rate / 2:
                return f"the band {low:g} to {high:g} Hz is none from 0 to {sample_rate / 2:g}, half the sample rate"
            first, last = self._lines(size, sample_rate, low, high)
            if first == last:
                return f"the band {low:g} to {high:g} Hz holds no line: they are {sample_rate / size:g} Hz apart"
        return None

    def of(self, signals: Signals) -> Array:
        """Return the feature, float64 [n, channels, bands]."""
        size, rate = signals.values.shape[-1], signals.sample_rate
        ends = [self._lines(size, rate, low, high) for low, high in self.bands]
        energies = [signals.density[..., first:last].sum(axis=-1) * (rate / size) for first, last in ends]
        stacked = np.stack(energies, axis=-1)
        return 10.0 * np.log10(np.maximum(stacked, _LEAST_ENERGY)) if self.decibels else stacked

    @staticmethod
    def _lines(size: int, sample_rate: float, low: float, high: float) -> tuple[int, int]:
        """Return the first line of a band, and the one after its last."""
        lines = frequencies(size, sample_rate)
        last = len(lines) if high >= sample_rate / 2 else np.searchsorted(lines, high)
        return int(np.searchsorted(lines, low)), int(last)


Feature: TypeAlias = (
    Mean
    | Rms
    | Std
    | Peak
    | PeakToPeak
    | Kurtosis
    | Skewness
    | CrestFactor
    | ZeroCrossings
    | SpectralCentroid
    | BandEnergy
    | LogMel
)
