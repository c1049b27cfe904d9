"""Raw values that float16 is too coarse for."""

from __future__ import annotations

import numpy as np
import pytest
from models import model_of
from numpy.typing import NDArray
from onnx import helper

from edge_runtime.inference.engine import Array
from optimizer.calibrate.observe import observe
from optimizer.data import Dataset
from optimizer.executor import silent
from optimizer.float16_steps import too_coarse

RANDOM = np.random.default_rng(0)


def _normalising() -> bytes:
    """Return (x - mean) / spread, then a layer."""
    weights = {"mean": np.full(3, 9000, np.float32), "spread": np.full(3, 20, np.float32)}
    weights["w"] = np.eye(3, dtype=np.float32)
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["a"], "subtract"),
        helper.make_node("Div", ["a", "spread"], ["b"], "divide"),
        helper.make_node("MatMul", ["b", "w"], ["y"], "layer"),
    ]
    return model_of(nodes, weights, {"x": ["N", 3]}, {"y": ["N", 3]}).SerializeToString()


def _columns(*ends: tuple[float, float]) -> NDArray[np.float32]:
    columns = [np.concatenate([[low, high], RANDOM.uniform(low, high, 30)]) for low, high in ends]
    return np.stack(columns, axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("x", "kept"),
    [
        (_columns((8950, 9050), (0, 1), (0, 1)), ["subtract"]),
        (_columns((0, 255), (0, 255), (0, 255)), []),
        (_columns((-1, 1), (-1e-3, 1e-3), (0, 9000)), []),
        (_columns((9000, 9000), (0, 1), (0, 0)), []),
    ],
    ids=["a large offset", "pixels", "channels far apart", "a sensor that never moves"],
)
def test_only_what_moves_little_beside_its_offset_stays_float(x: Array, kept: list[str]) -> None:
    """Channels far apart are no trouble here, as they are in integers: each float16 number has its own exponent."""
    data = _normalising()
    histograms = observe(data, ["x"], Dataset({"x": x}, None, "x"), silent)
    assert list(too_coarse(data, histograms)) == kept


def test_what_was_not_observed_stays_as_it_is() -> None:
    """Without calibration data nothing is known of inputs; the parity check is what is left."""
    assert list(too_coarse(_normalising(), {})) == []
