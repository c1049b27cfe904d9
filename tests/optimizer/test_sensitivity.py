"""Losses per layer by fake quantization, and how much of a range its outliers take."""

from __future__ import annotations

from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from models import images, mlp, residual_convnet
from numpy.typing import NDArray

from optimizer.calibrate.observe import observe_ranges
from optimizer.data import Dataset
from optimizer.quantize import tensors_to_observe
from optimizer.sensitivity import layer_losses, outlier_ratios

SILENT = lambda *_: None  # noqa: E731
DATA, SAMPLES = residual_convnet().SerializeToString(), {"x": images(40)}


def _ranges(tensors: list[str] | None = None) -> dict[str, tuple[float, float]]:
    watched = tensors or tensors_to_observe(DATA)
    return observe_ranges(DATA, watched, Dataset(SAMPLES, None, "x"), SILENT)


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_losses_are_the_same_in_parallel(kind: type[Executor]) -> None:
    """Threads and processes give the very losses and order that one layer after the other gives."""
    done: list[tuple[int, int]] = []
    alone = layer_losses(DATA, _ranges(), SAMPLES, lambda *counts: done.append(counts))
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert set(alone) == {"conv1", "conv2", "classifier"}
    assert list(alone.values()) == sorted(alone.values(), reverse=True)
    assert all(0 < loss < 0.01 for loss in alone.values())
    with kind(2) as executor:  # type: ignore[call-arg]
        together = layer_losses(DATA, _ranges(), SAMPLES, SILENT, executor)
    assert list(together.items()) == list(alone.items())


def test_a_wider_range_costs_its_layer_more() -> None:
    """Stretching the range of one layer's input a hundredfold makes that layer the worst, and no other one worse."""
    ranges = _ranges()
    plain = layer_losses(DATA, ranges, SAMPLES, SILENT)
    low, high = ranges["f"]
    stretched = layer_losses(DATA, {**ranges, "f": (100 * low, 100 * high)}, SAMPLES, SILENT)
    assert next(iter(stretched)) == "classifier"
    assert stretched["classifier"] > 100 * plain["classifier"]
    assert stretched["conv1"] == plain["conv1"]


def test_a_layer_whose_input_has_no_range_is_left_out() -> None:
    """Nothing is guessed where nothing was observed."""
    losses = layer_losses(DATA, _ranges(["x", "f"]), SAMPLES, SILENT)
    assert set(losses) == {"conv1", "classifier"}


@dataclass
class _Histogram:
    low: float
    high: float
    counts: NDArray[Any]
    edge_low: float
    width: float


def test_outliers_are_the_range_beyond_the_bulk_of_the_values() -> None:
    """One value far out stretches the range of its layer eightfold; a flat histogram has none."""
    flat = np.full(2048, 100)
    lonely = np.zeros(2048, np.int64)
    lonely[:256], lonely[-1] = 1000, 1
    histograms = {
        "x": _Histogram(0.0, 2048.0, flat, 0.0, 1.0),
        "r": _Histogram(0.0, 2048.0, lonely, 0.0, 1.0),
    }
    ratios = outlier_ratios(mlp().SerializeToString(), histograms)
    assert list(ratios) == ["dense2", "dense1"]
    assert ratios["dense2"] == pytest.approx(8, rel=0.01)
    assert ratios["dense1"] == pytest.approx(1, rel=0.01)


def test_a_histogram_that_saw_nothing_has_no_outliers() -> None:
    """Layers without a histogram are left out, empty ones count as 1."""
    empty = {"x": _Histogram(0.0, 0.0, np.zeros(2048, np.int64), 0.0, 0.0)}
    assert outlier_ratios(mlp().SerializeToString(), empty) == {"dense1": 1.0}
