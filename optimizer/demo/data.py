"""Labelled bursts of the simulated sensor: what the demo's model was trained, calibrated and judged on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.sources.synthetic import BURST_SAMPLES, Bearing, Condition, burst, random_condition

MODEL = Path(__file__).with_name("bearing_cnn.onnx")
LABELS = ("normal", "imbalance", "outer_race_fault")

# Seeds of data sets that must never share a burst; the streaming sensors of the demo have seeds of their own.
TRAINING_SEED, VALIDATION_SEED, TEST_SEED, CALIBRATION_SEED, EVALUATION_SEED = 101, 102, 103, 104, 105


def _normal(generator: np.random.Generator) -> Condition:
    return random_condition(generator, imbalance=generator.uniform(0.0, 0.3))


def _imbalance(generator: np.random.Generator) -> Condition:
    return random_condition(generator, imbalance=generator.uniform(1.5, 5.0))


def _outer_race_fault(generator: np.random.Generator) -> Condition:
    severity = np.exp(generator.uniform(np.log(0.4), np.log(2.5)))
    return random_condition(generator, imbalance=generator.uniform(0.0, 0.3), severity=float(severity))


_CONDITIONS: tuple[Callable[[np.random.Generator], Condition], ...] = (_normal, _imbalance, _outer_race_fault)


def labelled_bursts(seed: int, count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return `count` bursts at random speed, load, noise and severity, and their classes, evenly mixed.

    Returns:
        Bursts (count, 1, BURST_SAMPLES) in g, and indices into LABELS (count,).
    """
    generator = np.random.default_rng(seed)
    bearing = Bearing()
    classes = np.arange(count) % len(LABELS)
    bursts = np.empty((count, 1, BURST_SAMPLES), np.float32)
    for index, label in enumerate(classes):
        bursts[index, 0] = burst(bearing, _CONDITIONS[label](generator), generator)
    return bursts, classes


def calibration() -> NDArray[np.float32]:
    """Return bursts that show the ranges of activations, also as ``--calibration optimizer.demo.data:calibration``."""
    return labelled_bursts(CALIBRATION_SEED, 240)[0]


def evaluation() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the labelled bursts that the demo's optimization is judged on."""
    return labelled_bursts(EVALUATION_SEED, 1500)


def held_out() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the labelled bursts of the model card's figure: nothing was chosen by looking at them."""
    return labelled_bursts(TEST_SEED, 6000)
