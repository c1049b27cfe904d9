"""Quantized forms: their types, what stays float, and how close they compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from models import images, mlp, residual_convnet
from onnx import numpy_helper

from devices.profile import Device
from edge_runtime.inference.ort import OrtEngine, SessionSettings
from optimizer.calibrate.observe import observe
from optimizer.calibrate.ranges import ranges_of
from optimizer.data import Dataset
from optimizer.graph import quantize_symmetric
from optimizer.load import LoadedModel, count_operators
from optimizer.quantize import quantize, tensors_to_observe
from optimizer.recipe import Recipe
from optimizer.schemes import Int8Dynamic, Int8Static, Int8Weights, schemes_for


def _static(keep_float: tuple[str, ...] = ()) -> onnx.ModelProto:
    data = residual_convnet().SerializeToString()
    samples = Dataset({"x": images(20)}, None, "x")
    ranges = ranges_of(observe(data, tensors_to_observe(data), samples, lambda done, total: None), "minmax")
    return onnx.load_model_from_string(quantize(data, Recipe(Int8Static(), keep_float=keep_float), ranges))


def _initializers(model: onnx.ModelProto) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    return {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}


def test_static_weights_are_int8_per_channel_and_activations_uint8() -> None:
    """The form measured to be fast on x86 and Arm: U8S8, per output channel, zero point 0 for weights."""
    model = _static()
    constants = _initializers(model)
    kernels = {name: array for name, array in constants.items() if array.dtype == np.int8 and array.ndim == 4}
    assert {array.shape[0] for array in kernels.values()} == {16}
    quantizers = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert quantizers
    assert {constants[node.input[2]].dtype for node in quantizers} == {np.dtype(np.uint8)}
    scales = [
        constants[n.input[1]] for n in model.graph.node if n.op_type == "DequantizeLinear" and n.input[0] in kernels
    ]
    assert [scale.shape for scale in scales] == [(16,), (16,)]


def test_static_is_close_to_float32() -> None:
    """On fresh inputs of the same kind the error stays below a tenth of the output's spread."""
    x = {"x": images(50, seed=9)}
    expected = OrtEngine(residual_convnet().SerializeToString()).run(x)["y"]
    actual = OrtEngine(_static().SerializeToString()).run(x)["y"]
    assert np.sqrt(np.mean((actual - expected) ** 2)) < expected.std() / 10


def test_kept_nodes_stay_float() -> None:
    """A layer named in keep_float has no quantized weight and no Q/DQ around it."""
    model = _static(keep_float=("conv2",))
    weights = next(node for node in model.graph.node if node.name == "conv2").input[1]
    assert _initializers(model)[weights].dtype == np.float32


def test_dynamic_takes_matrix_products_only() -> None:
    """Convolutions are left alone: quantizing them while running is slower than float32."""
    convolutional = onnx.load_model_from_string(
        quantize(residual_convnet().SerializeToString(), Recipe(Int8Dynamic()), {})
    )
    found = count_operators(convolutional.graph)
    assert (found["Conv"], found["MatMulInteger"]) == (2, 1)


def test_weights_only_restores_the_rounded_weights_exactly() -> None:
    """The model computes as float32 with its weights rounded to 255 steps per channel, and is smaller."""
    data = mlp(width=256).SerializeToString()
    scheme = Int8Weights()
    small = quantize(data, Recipe(scheme), {})
    rounded = onnx.load_model_from_string(data)
    for item in rounded.graph.initializer:
        weight = numpy_helper.to_array(item)
        codes, scales = quantize_symmetric(weight, axis=1)
        item.CopyFrom(numpy_helper.from_array((codes * scales).astype(np.float32), item.name))
    x = {"x": np.random.default_rng(0).normal(0, 1, (20, 8)).astype(np.float32)}
    expected = OrtEngine(rounded.SerializeToString()).run(x)["y"]
    actual = OrtEngine(small, SessionSettings(config=scheme.session)).run(x)["y"]
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
    assert len(small) < 0.75 * len(data)


@pytest.mark.parametrize("axis", [0, 1])
def test_symmetric_rounding_is_within_half_a_step(axis: int) -> None:
    """Each channel has its own scale; a channel of zeros does not divide by zero."""
    weight = np.random.default_rng(0).normal(0, 1, (6, 5)).astype(np.float32)
    weight[2, :] = 0
    weight[:, 3] = 0
    codes, scales = quantize_symmetric(weight, axis)
    shape = (-1, 1) if axis == 0 else (1, -1)
    error = np.abs(codes * scales.reshape(shape) - weight)
    assert (error <= scales.reshape(shape) / 2 + 1e-7).all()
    assert codes.dtype == np.int8
    assert codes.min() >= -127


def _loaded(model: onnx.ModelProto) -> LoadedModel:
    return LoadedModel(Path("m.onnx"), b"", 0, 17, (), (), count_operators(model.graph), 2, ())


@pytest.mark.parametrize(
    ("model", "calibrated", "kernels", "expected"),
    [
        (residual_convnet(), True, "asimd", ["cpu-u8s8"]),
        (residual_convnet(), False, "asimd", ["cpu-weights-s8"]),
        (mlp(), True, "avx2", ["cpu-u8s8", "cpu-dynamic-u8s8"]),
        (mlp(), False, "avx2", ["cpu-dynamic-u8s8", "cpu-weights-s8"]),
        (mlp(), True, "", []),
        (mlp(), False, "", ["cpu-weights-s8"]),
    ],
)
def test_schemes_follow_model_data_and_target(
    model: onnx.ModelProto, calibrated: bool, kernels: str, expected: list[str]
) -> None:
    """Static needs data, dynamic needs a model without convolutions, int8 arithmetic needs int8 kernels."""
    device = Device("board", "a board", "aarch64", kernels, "test")
    assert [scheme.name for scheme in schemes_for(device, _loaded(model), calibrated=calibrated)] == expected
