"""The simulated bearing behaves as the physics says."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.sources.synthetic import SAMPLE_RATE_HZ, Bearing, Condition, VibrationSensor, burst

SECONDS = 4
SHAFT_HZ = 25.0


def record(severity: float, seed: int = 3) -> NDArray[np.float32]:
    """Return four seconds of a machine at 25 Hz."""
    condition = Condition(shaft_hz=SHAFT_HZ, severity=severity)
    return burst(Bearing(), condition, np.random.default_rng(seed), samples=int(SECONDS * SAMPLE_RATE_HZ))


def envelope_spectrum(signal: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the amplitude spectrum of the envelope around the resonance (900-1600 Hz), one bin per 1/SECONDS Hz."""
    spectrum = np.fft.fft(signal)
    frequency = np.fft.fftfreq(len(signal), 1 / SAMPLE_RATE_HZ)
    # Positive frequencies only give the analytic signal, whose magnitude is the envelope.
    envelope = np.abs(np.fft.ifft(np.where((frequency > 900) & (frequency < 1600), 2 * spectrum, 0)))
    return np.abs(np.fft.rfft(envelope - envelope.mean()))


def peak_over_floor(spectrum: NDArray[np.float64], hertz: float) -> float:
    """Return the highest bin within 4 % of a frequency as a multiple of the median between 20 and 500 Hz."""
    low, high = round(0.96 * hertz * SECONDS), round(1.04 * hertz * SECONDS)
    return float(spectrum[low : high + 1].max() / np.median(spectrum[20 * SECONDS : 500 * SECONDS]))


def test_the_outer_race_frequency_is_that_of_the_bearing_tables() -> None:
    """Published tables give 3.585 times the shaft speed for a 6205 bearing."""
    assert Bearing().bpfo_hz(1.0) == pytest.approx(3.585, abs=0.001)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_fault_shows_at_its_frequency_and_harmonics(order: int) -> None:
    """The envelope spectrum peaks at multiples of the ball-pass frequency."""
    assert peak_over_floor(envelope_spectrum(record(1.0)), order * Bearing().bpfo_hz(SHAFT_HZ)) > 8


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_healthy_bearing_shows_nothing_there(order: int) -> None:
    """Without a fault the same bins are part of the noise floor."""
    assert peak_over_floor(envelope_spectrum(record(0.0)), order * Bearing().bpfo_hz(SHAFT_HZ)) < 5


def test_the_shaft_and_its_harmonics_stand_out_in_any_state() -> None:
    """1x, 2x and 3x of the shaft speed are the strongest lines below 100 Hz."""
    spectrum = np.abs(np.fft.rfft(record(0.0)))[: 100 * SECONDS]
    for order in (1, 2, 3):
        assert spectrum[round(order * SHAFT_HZ * SECONDS)] > 20 * np.median(spectrum)


def test_severity_raises_the_energy() -> None:
    """A worse fault shakes more."""
    energies = [float(np.square(record(severity)).mean()) for severity in (0.0, 0.5, 1.0, 2.0)]
    assert energies == sorted(energies)


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Whole streams are reproducible, and another seed is another machine."""
    streams = [b"".join(sensor.read(0.5).tobytes() for _ in range(5)) for sensor in map(VibrationSensor, (1, 1, 2))]
    assert streams[0] == streams[1]
    assert streams[0] != streams[2]


def test_bursts_are_float32_in_g() -> None:
    """What the sensor sends is finite and of the size a machine of this kind shows."""
    values = VibrationSensor(5).read()
    assert values.dtype == np.float32
    assert values.shape == (1024,)
    assert 0.1 < float(values.std()) < 1.0
