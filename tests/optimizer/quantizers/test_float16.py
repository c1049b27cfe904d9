"""float16: types at the border, what stays float32, and what would overflow."""

from __future__ import annotations

import numpy as np
import onnx
from forms import decibels
from models import images, model_of, residual_convnet
from onnx import TensorProto, helper

from edge_runtime.inference.ort import OrtEngine
from optimizer.quantize import quantize
from optimizer.recipe import Recipe
from optimizer.schemes import Float16


def test_inputs_and_outputs_stay_float32() -> None:
    """A caller sees the same interface, a model of half the size, and nearly the same numbers."""
    data = residual_convnet().SerializeToString()
    form = quantize(data, Recipe(Float16()), {})
    assert OrtEngine(form).inputs[0].dtype == OrtEngine(form).outputs[0].dtype == "float32"
    assert len(form) < 0.75 * len(data)
    assert decibels(data, form, {"x": images(8)}) > 50


def _three_products(middle: float) -> bytes:
    """Return x * 1 * middle / middle."""
    weights = {"one": np.eye(8, dtype=np.float32), "up": np.eye(8, dtype=np.float32) * middle}
    weights["down"] = np.eye(8, dtype=np.float32) / middle
    nodes = [
        helper.make_node("MatMul", ["x", "one"], ["a"], "first"),
        helper.make_node("MatMul", ["a", "up"], ["b"], "second"),
        helper.make_node("MatMul", ["b", "down"], ["y"], "third"),
    ]
    return model_of(nodes, weights, {"x": ["N", 8]}, {"y": ["N", 8]}).SerializeToString()


def _types(form: bytes) -> dict[str, int]:
    return {item.name: item.data_type for item in onnx.load_model_from_string(form).graph.initializer}


def test_weights_that_float16_cannot_hold_stay_float32() -> None:
    """Above 65504 a weight would become infinite."""
    data = _three_products(1e6)
    form = quantize(data, Recipe(Float16()), {})
    assert _types(form)["up"] == TensorProto.FLOAT
    assert _types(form)["one"] == TensorProto.FLOAT16


def test_observed_activations_that_would_overflow_stay_float32() -> None:
    """Both nodes around the tensor stay; x86 computes in float32 in any case, so that only the types can show it."""
    data = _three_products(1e4)
    x = {"x": np.full((2, 8), 30, np.float32)}
    assert _types(quantize(data, Recipe(Float16()), {}))["down"] == TensorProto.FLOAT16
    form = quantize(data, Recipe(Float16()), {"a": (0.0, 30.0), "b": (0.0, 3e5)})
    assert _types(form) | {"up": TensorProto.FLOAT, "down": TensorProto.FLOAT} == _types(form)
    np.testing.assert_allclose(OrtEngine(form).run(x)["y"], 30, rtol=1e-2)


def test_a_model_that_is_kept_whole_comes_back_as_it_was() -> None:
    """Nothing is converted to and fro for nothing."""
    data = _three_products(2.0)
    assert quantize(data, Recipe(Float16(), keep_float=("first", "second", "third")), {}) == data
