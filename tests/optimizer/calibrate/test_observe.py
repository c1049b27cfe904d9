"""Ranges from calibration data, against looking at every value."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from models import images, model_of, residual_convnet
from onnx import helper

from edge_runtime.errors import BadInput
from edge_runtime.inference.ort import OrtEngine, SessionSettings
from optimizer.calibrate.minmax import MinMax
from optimizer.data import Dataset
from optimizer.quantize import tensors_to_observe


@pytest.mark.parametrize("batch", ["N", 1, 4])
@pytest.mark.parametrize("count", [1, 8, 13])
def test_ranges_equal_a_brute_force_look(batch: int | str, count: int) -> None:
    """Any number of samples, full batches or not, dynamic or fixed: the exact smallest and largest values."""
    data = residual_convnet(batch=batch).SerializeToString()
    tensors, x = tensors_to_observe(data), images(count)
    reported = []
    ranges = observe_ranges(data, tensors, Dataset({"x": x}, None, "x.npz"), lambda *done: reported.append(done))
    assert set(ranges) == {"x", "c1", "r1", "c2", "a", "r2", "p", "f", "y"}
    exposed = residual_convnet()
    exposed.graph.output.extend(helper.make_tensor_value_info(name, 1, None) for name in tensors if name not in "xy")
    values = OrtEngine(exposed.SerializeToString(), SessionSettings(optimize=False)).run({"x": x}) | {"x": x}
    for name, (low, high) in ranges.items():
        assert (low, high) == pytest.approx((values[name].min(), values[name].max()), rel=1e-5, abs=1e-6)
    assert reported[-1] == (count, count)


def test_an_activation_that_is_not_finite_is_named() -> None:
    """A division by zero inside the model would give ranges nobody can use."""
    nodes = [helper.make_node("Div", ["x", "x"], ["d"]), helper.make_node("Relu", ["d"], ["y"])]
    model = model_of(nodes, {}, {"x": ["N", 3]}, {"y": ["N", 3]})
    zeros = Dataset({"x": np.zeros((2, 3), np.float32)}, None, "zeros.npz")
    with pytest.raises(BadInput, match=r"zeros\.npz") as caught:
        observe_ranges(model.SerializeToString(), ["d"], zeros, lambda done, total: None)
    assert caught.value.code == "E-CALIBRATION-NOT-FINITE"


def test_only_float_activations_of_quantizable_operators_are_watched() -> None:
    """Weights need no data, and operators that stay float need no ranges."""
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["s"]),
        helper.make_node("MatMul", ["s", "w"], ["m"]),
        helper.make_node("Softmax", ["m"], ["y"]),
    ]
    weights = {"mean": np.ones(3, np.float32), "w": np.ones((3, 2), np.float32)}
    model = model_of(nodes, weights, {"x": ["N", 3]}, {"y": ["N", 2]})
    assert tensors_to_observe(model.SerializeToString()) == ["m", "s"]


def test_an_observer_that_saw_nothing_has_an_empty_range() -> None:
    """A tensor without values gets (0, 0), never infinities."""
    observer = MinMax()
    observer.update(np.empty(0, np.float32))
    assert observer.range == (0.0, 0.0)


def test_watching_does_not_change_the_users_model() -> None:
    """Observation works on a copy; the outputs it adds do not reach the result."""
    data = residual_convnet().SerializeToString()
    before = bytes(data)
    observe_ranges(data, ["r1"], Dataset({"x": images(2)}, None, "x"), lambda done, total: None)
    assert data == before
    assert len(onnx.load_model_from_string(data).graph.output) == 1
