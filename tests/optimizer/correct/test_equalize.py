"""Equalization: channels of very different size, made alike without changing the function."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from int8_error import constants, float_difference, int8_error, interface, quantizer
from models import images, mlp, model_of, residual_convnet
from onnx import helper

from optimizer.correct import CORRECTIONS, equalize

SAMPLES, FRESH = {"x": images(64)}, {"x": images(64, seed=1)}


def _spread(count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return sizes of channels, a thousand apart."""
    return np.random.default_rng(5).permutation(np.geomspace(0.03, 30, count)).astype(np.float32)


def depthwise(activation: onnx.NodeProto | None = None) -> bytes:
    """Pointwise, depthwise, pointwise with channels 1000 apart in the middle: [N,3,16,16] -> [N,8,16,16]."""
    random = np.random.default_rng(0)
    spread = _spread(16)
    weights = {
        "w1": random.normal(0, 1, (16, 3, 1, 1)).astype(np.float32) * spread.reshape(-1, 1, 1, 1),
        "b1": random.normal(0, 1, 16).astype(np.float32) * spread,
        "w2": random.normal(0, 1, (16, 1, 3, 3)).astype(np.float32) / spread.reshape(-1, 1, 1, 1),
        "b2": random.normal(0, 1, 16).astype(np.float32),
        "w3": random.normal(0, 1, (8, 16, 1, 1)).astype(np.float32),
        "slope": np.full((16, 1, 1), 0.2, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "pointwise1"),
        activation or helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "depthwise", group=16, pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("Conv", ["r2", "w3"], ["y"], "pointwise2"),
    ]
    used = {name for node in nodes for name in node.input}
    kept = {name: array for name, array in weights.items() if name in used}
    return model_of(nodes, kept, {"x": ["N", 3, 16, 16]}, {"y": ["N", 8, 16, 16]}).SerializeToString()


def test_channels_a_thousand_apart_survive_int8() -> None:
    """The error of a depthwise network falls to less than a tenth; function, interface and bytes are stable."""
    data = depthwise()
    equal = equalize.apply(data, quantizer(SAMPLES), SAMPLES)
    before, after = (int8_error(model, data, SAMPLES, FRESH) for model in (data, equal))
    assert after < before / 10
    assert float_difference(equal, data, FRESH) < 1e-5
    assert interface(equal) == interface(data)
    assert equalize.apply(data, quantizer(SAMPLES), SAMPLES) == equal


@pytest.mark.parametrize(
    "activation",
    [
        helper.make_node("LeakyRelu", ["c1"], ["r1"], "leaky", alpha=0.1),
        helper.make_node("PRelu", ["c1", "slope"], ["r1"], "prelu"),
        helper.make_node("MaxPool", ["c1"], ["r1"], "pool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    ],
    ids=lambda node: node.op_type,
)
def test_factors_pass_what_is_linear_for_positive_factors(activation: onnx.NodeProto) -> None:
    """LeakyRelu, PRelu and pooling join layers as Relu does, and the function stays the same."""
    data = depthwise(activation)
    equal = equalize.apply(data, quantizer(SAMPLES), SAMPLES)
    assert float_difference(equal, data, FRESH) < 1e-5
    assert int8_error(equal, data, SAMPLES, FRESH) < int8_error(data, data, SAMPLES, FRESH) / 3


def test_an_image_may_be_flattened_between_two_layers() -> None:
    """Each channel's factor reaches all of its columns in the Gemm behind Flatten, its weight transposed or not."""
    random = np.random.default_rng(2)
    spread = _spread(6)
    weights = {
        "w1": random.normal(0, 1, (6, 3, 3, 3)).astype(np.float32) * spread.reshape(-1, 1, 1, 1),
        "w2": random.normal(0, 1, (24, 5)).astype(np.float32) / np.repeat(spread, 4).reshape(-1, 1),
        "w3": random.normal(0, 1, (2, 5)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c"], "conv", strides=[8, 8], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Flatten", ["r"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w2"], ["g"], "dense1"),
        helper.make_node("Gemm", ["g", "w3"], ["y"], "dense2", transB=1),
    ]
    data = model_of(nodes, weights, {"x": ["N", 3, 16, 16]}, {"y": ["N", 2]}).SerializeToString()
    equal = equalize.apply(data, quantizer(SAMPLES), SAMPLES)
    assert float_difference(equal, data, FRESH) < 1e-5
    assert int8_error(equal, data, SAMPLES, FRESH) < int8_error(data, data, SAMPLES, FRESH) / 10


def test_grouped_and_transposed_convolutions_keep_their_function() -> None:
    """Input channels are found group by group; a ConvTranspose has its axes the other way round."""
    random = np.random.default_rng(3)
    weights = {
        "w1": random.normal(0, 1, (8, 3, 1, 1)).astype(np.float32) * _spread(8).reshape(-1, 1, 1, 1),
        "w2": random.normal(0, 1, (12, 2, 3, 3)).astype(np.float32),
        "w3": random.normal(0, 1, (12, 3, 2, 2)).astype(np.float32),
        "b3": random.normal(0, 1, 6).astype(np.float32),
        "w4": random.normal(0, 1, (4, 6, 1, 1)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], "conv1"),
        helper.make_node("Conv", ["c1", "w2"], ["c2"], "grouped", group=4),
        helper.make_node("ConvTranspose", ["c2", "w3", "b3"], ["c3"], "transposed", group=2, strides=[2, 2]),
        helper.make_node("Relu", ["c3"], ["r3"], "relu"),
        helper.make_node("Conv", ["r3", "w4"], ["y"], "conv4"),
    ]
    data = model_of(nodes, weights, {"x": ["N", 3, 16, 16]}, {"y": ["N", 4, 28, 28]}).SerializeToString()
    equal = equalize.apply(data, quantizer(SAMPLES), SAMPLES)
    assert equal != data
    assert float_difference(equal, data, FRESH) < 1e-5


def test_matrix_products_with_their_bias_behind_them_are_joined() -> None:
    """The Add behind a MatMul is its bias and gets the factor too."""
    random = np.random.default_rng(4)
    weights = {
        "w1": random.normal(0, 1, (8, 16)).astype(np.float32) * _spread(16),
        "b1": random.normal(0, 1, 16).astype(np.float32),
        "w2": random.normal(0, 1, (16, 4)).astype(np.float32) / _spread(16).reshape(-1, 1),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["m"], "dense1"),
        helper.make_node("Add", ["b1", "m"], ["a"], "bias1"),
        helper.make_node("Relu", ["a"], ["r"], "relu"),
        helper.make_node("MatMul", ["r", "w2"], ["y"], "dense2"),
    ]
    data = model_of(nodes, weights, {"x": ["N", 5, 8]}, {"y": ["N", 5, 4]}).SerializeToString()
    samples = {"x": random.normal(0, 1, (64, 5, 8)).astype(np.float32)}
    equal = equalize.apply(data, quantizer(samples), samples)
    assert equal != data
    assert float_difference(equal, data, samples) < 1e-5


def test_a_channel_that_is_never_used_stays_finite() -> None:
    """A Relu that never opens on the samples makes no factor out of nothing."""
    model = onnx.load_model_from_string(depthwise())
    bias = next(item for item in model.graph.initializer if item.name == "b1")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(16, -1e6, np.float32), "b1"))
    equal = equalize.apply(model.SerializeToString(), quantizer(SAMPLES), SAMPLES)
    assert all(np.isfinite(array).all() for array in constants(equal).values())


def _clipped() -> bytes:
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c"], "conv1"),
        helper.make_node("Clip", ["c", "low", "high"], ["r"], "relu6"),
        helper.make_node("Conv", ["r", "w2"], ["y"], "conv2"),
    ]
    weights = {
        "w1": np.ones((4, 3, 1, 1), np.float32),
        "w2": np.ones((4, 4, 1, 1), np.float32),
        "low": np.array(0, np.float32),
        "high": np.array(6, np.float32),
    }
    return model_of(nodes, weights, {"x": ["N", 3, 16, 16]}, {"y": ["N", 4, 16, 16]}).SerializeToString()


def _seen_from_outside() -> bytes:
    model = mlp()
    model.graph.output.append(helper.make_tensor_value_info("h", 1, None))
    return model.SerializeToString()


@pytest.mark.parametrize("data", [_clipped(), residual_convnet().SerializeToString(), _seen_from_outside()])
def test_what_cannot_take_a_factor_comes_back_as_it_is(data: bytes) -> None:
    """Clip has bounds, a residual branch is used twice, an output belongs to the caller: byte for byte the same."""
    assert equalize.apply(data, quantizer(SAMPLES), SAMPLES) == data


def test_the_table_names_it_and_says_that_ranges_change() -> None:
    """The ladder is ordered by cost, and who moves sizes of channels needs ranges anew."""
    assert list(CORRECTIONS) == ["bias-correction", "equalize", "smooth", "rounding"]
    assert [c.name for c in CORRECTIONS.values() if c.changes_ranges] == ["equalize", "smooth"]
