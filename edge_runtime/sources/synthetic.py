"""A vibration sensor on a ball bearing, simulated from its physics: for the demo, for training, for tests."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 4096.0
BURST_SAMPLES = 1024

_SHAFT_AMPLITUDES_G = (0.20, 0.10, 0.05)  # 1x (residual imbalance), 2x (misalignment), 3x
_SETTLED = 8.0  # decay times after which a resonance has died down to 0.03 %


@dataclass(frozen=True)
class Bearing:
    """Geometry of a ball bearing and of the housing it shakes; the default is a 6205 deep-groove bearing.

    Attributes:
        balls: Number of rolling elements.
        ball_diameter_mm: Diameter of one ball.
        pitch_diameter_mm: Diameter of the circle through the balls' centres.
        contact_angle_rad: Angle between the load and the radial plane.
        resonance_hz: Natural frequency of the housing that an impact excites.
        damping: Damping ratio of that resonance, 0 (rings forever) to 1 (does not ring).
        slip: Standard deviation of the time between impacts as a share of it: balls roll with a little slip.
    """

    balls: int = 9
    ball_diameter_mm: float = 7.94
    pitch_diameter_mm: float = 39.04
    contact_angle_rad: float = 0.0
    resonance_hz: float = 1250.0
    damping: float = 0.05
    slip: float = 0.012

    def bpfo_hz(self, shaft_hz: float) -> float:
        """Return the ball-pass frequency of the outer race at a shaft speed, both in Hz.

        ``n/2 * f_r * (1 - d/D cos(phi))``, the kinematic formula for rolling without slip; see R. B. Randall and
        J. Antoni, "Rolling element bearing diagnostics - A tutorial", Mechanical Systems and Signal Processing 25
        (2011) 485-520.
        """
        ratio = self.ball_diameter_mm / self.pitch_diameter_mm * math.cos(self.contact_angle_rad)
        return self.balls / 2 * shaft_hz * (1 - ratio)


@dataclass(frozen=True)
class Condition:
    """How the machine runs and what ails it during one burst.

    Attributes:
        shaft_hz: Shaft speed.
        load: Share of the nominal load; scales forces, and noise a little.
        noise_g: RMS of the broadband noise at nominal load.
        knocks: Mean number per burst of random impacts that have nothing to do with the bearing (cavitation, traffic).
        imbalance: Extra 1x vibration as a multiple of the healthy one; 0 is a balanced rotor.
        severity: Peak acceleration in g of an outer-race impact at nominal load; 0 is a healthy race.
    """

    shaft_hz: float = 25.0
    load: float = 1.0
    noise_g: float = 0.15
    knocks: float = 0.3
    imbalance: float = 0.0
    severity: float = 0.0


def burst(
    bearing: Bearing, condition: Condition, generator: np.random.Generator, samples: int = BURST_SAMPLES
) -> NDArray[np.float32]:
    """Return one acquisition: acceleration in g, shape (samples,), at SAMPLE_RATE_HZ.

    Bursts follow each other in condition, not in phase, as from a sensor that wakes, measures and sends.
    The same generator state gives the same bytes.
    """
    time = np.arange(samples) / SAMPLE_RATE_HZ
    signal = _shaft(condition, time, generator)
    signal += _impacts(bearing, condition, time, generator)
    signal += _knocks(bearing, condition, time, generator)
    signal += generator.normal(0.0, condition.noise_g * (0.7 + 0.3 * condition.load), samples)
    return signal.astype(np.float32)


def random_condition(generator: np.random.Generator, *, imbalance: float = 0.0, severity: float = 0.0) -> Condition:
    """Return a machine at a random speed (18-32 Hz), load (40-120 %) and noise level with the given ailments."""
    return Condition(
        shaft_hz=generator.uniform(18.0, 32.0),
        load=generator.uniform(0.4, 1.2),
        noise_g=generator.uniform(0.08, 0.25),
        knocks=generator.uniform(0.0, 2.0),
        imbalance=imbalance,
        severity=severity,
    )


class VibrationSensor:
    """A sensor on one machine whose speed and load wander as in service; seeded, without a clock."""

    def __init__(self, seed: int, bearing: Bearing | None = None) -> None:
        self._generator = np.random.default_rng(seed)
        self._bearing = bearing or Bearing()
        self._shaft_hz = self._generator.uniform(23.0, 27.0)
        self._load = 0.8

    def read(self, severity: float = 0.0) -> NDArray[np.float32]:
        """Return the next burst, with an outer-race fault of this severity (g) where it is not 0."""
        self._shaft_hz = float(np.clip(self._shaft_hz + self._generator.normal(0.0, 0.1), 20.0, 30.0))
        if self._generator.random() < 0.05:
            self._load = self._generator.uniform(0.5, 1.1)  # a valve opens or closes
        condition = Condition(shaft_hz=self._shaft_hz, load=self._load, severity=severity)
        return burst(self._bearing, condition, self._generator)


def _shaft(condition: Condition, time: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Return the harmonics of the shaft, modulated by a load that swings a little below the shaft speed."""
    phase = 2 * np.pi * condition.shaft_hz * time
    swing = 1 + 0.15 * np.sin(0.4 * phase + generator.uniform(0, 2 * np.pi))
    # An unbalanced rotor's force grows with the square of its speed.
    speed = (condition.shaft_hz / 25.0) ** 2
    signal = np.zeros_like(time)
    for order, amplitude in enumerate(_SHAFT_AMPLITUDES_G, start=1):
        gain = speed * (1 + condition.imbalance) if order == 1 else condition.load
        spread = generator.uniform(0.7, 1.3)
        signal += spread * gain * amplitude * np.cos(order * phase + generator.uniform(0, 2 * np.pi))
    return signal * swing


def _impacts(
    bearing: Bearing, condition: Condition, time: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return the ringing after each ball's hit on the damaged spot, from just before the burst to its end."""
    if condition.severity == 0.0:
        return np.zeros_like(time)
    period = 1 / bearing.bpfo_hz(condition.shaft_hz)
    begin = -_SETTLED * _decay_seconds(bearing)
    count = int((time[-1] - begin) / period * 1.2) + 2
    gaps = period * (1 + bearing.slip * generator.normal(size=count))
    moments = begin + generator.uniform(0, period) + np.cumsum(gaps)
    peaks = condition.severity * condition.load * generator.normal(1.0, 0.1, count)
    return _ringing(bearing, time, moments, peaks)


def _knocks(
    bearing: Bearing, condition: Condition, time: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return random impacts on the housing: they ring like a bearing fault, but keep no rhythm."""
    count = int(generator.poisson(condition.knocks))
    moments = generator.uniform(-_SETTLED * _decay_seconds(bearing), time[-1], count)
    return _ringing(bearing, time, moments, generator.uniform(0.1, 0.8, count))


def _ringing(
    bearing: Bearing, time: NDArray[np.float64], moments: NDArray[np.float64], peaks: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the sum of decaying oscillations of the housing that begin at `moments` (s) with `peaks` (g)."""
    since = time[:, np.newaxis] - moments[np.newaxis, :]
    after = np.maximum(since, 0.0)
    damped = 2 * np.pi * bearing.resonance_hz * math.sqrt(1 - bearing.damping**2)
    waves = np.exp(-after / _decay_seconds(bearing)) * np.sin(damped * after) * (since >= 0)
    return np.asarray(waves @ peaks, dtype=np.float64)


def _decay_seconds(bearing: Bearing) -> float:
    """Return the time in which the resonance falls to 1/e."""
    return 1 / (bearing.damping * 2 * np.pi * bearing.resonance_hz)
