"""Bias correction: rounding that leans to one side, taken back by the bias."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from int8_error import constants, int8_error, interface, quantizer
from models import mlp, model_of, tree
from numpy.typing import NDArray
from onnx import helper

from optimizer.correct import bias_correction

Values = NDArray[np.float32]


def _positive(count: int, *shape: int, seed: int = 0) -> Values:
    return np.random.default_rng(seed).uniform(0.5, 1, (count, *shape)).astype(np.float32)


def _leaning(outputs: int, inputs: int) -> Values:
    """Return weights that all lie 0.4 of a step above the grid, so that rounding makes each of them smaller."""
    steps = np.random.default_rng(1).integers(-100, 100, (outputs, inputs)) + 0.4
    steps[:, 0] = 127
    return (steps / 127).astype(np.float32)


def convolutions(opset: int = 17, batch: int | str = "N") -> bytes:
    """Two convolutions, one with a bias, one without: [N,4,8,8] -> [N,6,8,8]."""
    weights = {
        "w1": _leaning(8, 4 * 9).reshape(8, 4, 3, 3),
        "b1": np.ones(8, np.float32),
        "w2": _leaning(6, 8).reshape(6, 8, 1, 1),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Conv", ["r", "w2"], ["y"], "conv2"),
    ]
    shapes: dict[str, Any] = {"x": [batch, 4, 8, 8]}, {"y": [batch, 6, 8, 8]}
    return model_of(nodes, weights, *shapes, opset).SerializeToString()


def dense() -> bytes:
    """MatMul, Relu, MatMul with a bias behind it: [N,32] -> [N,4]; the first product has no place for a bias."""
    weights = {"w1": _leaning(24, 32).T, "w2": _leaning(4, 24).T, "b2": np.ones(4, np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["m"], "dense1"),
        helper.make_node("Relu", ["m"], ["r"], "relu"),
        helper.make_node("MatMul", ["r", "w2"], ["n"], "dense2"),
        helper.make_node("Add", ["n", "b2"], ["y"], "bias2"),
    ]
    return model_of(nodes, weights, {"x": ["N", 32]}, {"y": ["N", 4]}).SerializeToString()


@pytest.mark.parametrize(("opset", "batch"), [(17, "N"), (18, "N"), (17, 1), (17, 3)])
def test_errors_of_convolutions_that_lean_to_one_side_are_taken_back(opset: int, batch: int | str) -> None:
    """The error falls to less than a third, in any opset, with any batch; interface and bytes are stable."""
    data, samples, fresh = (
        convolutions(opset, batch),
        {"x": _positive(40, 4, 8, 8)},
        {"x": _positive(30, 4, 8, 8, seed=2)},
    )
    corrected = bias_correction.apply(data, quantizer(samples), samples)
    before, after = (int8_error(model, data, samples, fresh) for model in (data, corrected))
    assert after < before / 3
    assert interface(corrected) == interface(data)
    assert bias_correction.apply(data, quantizer(samples), samples) == corrected


def test_only_biases_change_and_one_is_added_where_there_was_none() -> None:
    """Weights stay as they are; the second convolution gets a third input."""
    data, samples = convolutions(), {"x": _positive(40, 4, 8, 8)}
    corrected = bias_correction.apply(data, quantizer(samples), samples)
    before, after = constants(data), constants(corrected)
    assert all(np.array_equal(before[name], after[name]) for name in ("w1", "w2"))
    assert not np.array_equal(before["b1"], after["b1"])
    second = onnx.load_model_from_string(corrected).graph.node[2]
    assert after[second.input[2]].shape == (6,)


def test_matrix_products_are_corrected_in_the_add_behind_or_as_gemm() -> None:
    """A MatMul of rank 2 becomes a Gemm of the same name; one with an Add behind it keeps its form."""
    data, samples, fresh = dense(), {"x": _positive(64, 32)}, {"x": _positive(64, 32, seed=2)}
    corrected = bias_correction.apply(data, quantizer(samples), samples)
    nodes = onnx.load_model_from_string(corrected).graph.node
    assert [(node.name, node.op_type) for node in nodes] == [
        ("dense1", "Gemm"),
        ("relu", "Relu"),
        ("dense2", "MatMul"),
        ("bias2", "Add"),
    ]
    assert int8_error(corrected, data, samples, fresh) < int8_error(data, data, samples, fresh) / 3


def test_a_bias_that_two_layers_share_is_divided() -> None:
    """Each layer gets its own correction; neither sees the other's."""
    weights = {"w": _leaning(8, 8).reshape(8, 8, 1, 1), "v": _leaning(8, 8).reshape(8, 8, 1, 1), "b": np.ones(8, "f")}
    weights["v"] = -weights["v"]
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv1"),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Conv", ["r", "v", "b"], ["y"], "conv2"),
    ]
    data = model_of(nodes, weights, {"x": ["N", 8, 4, 4]}, {"y": ["N", 8, 4, 4]}).SerializeToString()
    samples = {"x": _positive(40, 8, 4, 4)}
    corrected = bias_correction.apply(data, quantizer(samples), samples)
    first, _, second = onnx.load_model_from_string(corrected).graph.node
    found = constants(corrected)
    assert not np.array_equal(found[first.input[2]], found[second.input[2]])


def test_what_has_no_weighted_layer_comes_back_as_it_is() -> None:
    """A model of trees, and a product of rank 3 without a bias, have no place for one: byte for byte the same."""
    samples = {"x": _positive(8, 5, 8)}
    node = helper.make_node("MatMul", ["x", "w"], ["y"], "dense")
    data = model_of([node], {"w": _leaning(4, 8).T}, {"x": ["N", 5, 8]}, {"y": ["N", 5, 4]}).SerializeToString()
    assert bias_correction.apply(data, quantizer(samples), samples) == data
    trees = tree().SerializeToString()
    assert bias_correction.apply(trees, quantizer({}), {"x": _positive(8, 2)}) == trees


def test_a_layer_that_the_quantizer_leaves_alone_does_no_harm() -> None:
    """With nothing quantized there is no error to take back."""
    data, samples = mlp().SerializeToString(), {"x": _positive(8, 8)}
    corrected = bias_correction.apply(data, lambda model: model, samples)
    added = [array for name, array in constants(corrected).items() if name not in constants(data)]
    assert all(np.abs(array).max() < 1e-5 for array in added)
