"""Static int8: what is rounded, what onnxruntime makes of it, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from forms import (
    Feeds,
    activations,
    between_convolutions,
    decibels,
    executed,
    node,
    noise,
    ranges_of,
    simplified,
    static,
)
from models import images, mlp, model_of, residual_convnet
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from zoo import ZOO, feeds_for

from edge_runtime.errors import BadInput
from edge_runtime.inference.ort import OrtEngine, SessionSettings
from optimizer.audit import audit
from optimizer.quantize import quantize
from optimizer.recipe import Recipe
from optimizer.schemes import Int8Static, Int8StaticSymmetric

RELU = node("Relu", ["c"], ["q"], "relu1")
FUSED: dict[str, tuple[Sequence[onnx.NodeProto], dict[str, NDArray[Any]], int]] = {
    # what stands in the middle, its weights, channels behind it
    "Relu": ([node("Relu", ["c"], ["m"], "r")], {}, 16),
    "Clip": (
        [node("Clip", ["c", "low", "high"], ["m"], "r")],
        {"low": np.zeros((), np.float32), "high": np.full((), 6, np.float32)},
        16,
    ),
    "residual Add": ([node("Add", ["c", "r0"], ["q"], "add"), node("Relu", ["q"], ["m"], "r")], {}, 16),
    "Concat": ([RELU, node("Concat", ["q", "r0"], ["m"], "concat", axis=1)], {}, 32),
    "LeakyRelu": ([node("LeakyRelu", ["c"], ["m"], "leaky", alpha=0.1)], {}, 16),
    "Sigmoid": ([node("Sigmoid", ["c"], ["m"], "sigmoid")], {}, 16),
    "MaxPool": ([RELU, node("MaxPool", ["q"], ["m"], "pool", kernel_shape=[2, 2], strides=[2, 2])], {}, 16),
    "AveragePool": ([RELU, node("AveragePool", ["q"], ["m"], "pool", kernel_shape=[2, 2])], {}, 16),
    "Resize": (
        [RELU, node("Resize", ["q", "", "sizes"], ["m"], "resize", mode="nearest", nearest_mode="floor")],
        {"sizes": np.array([1, 1, 2, 2], np.float32)},
        16,
    ),
    "squeeze and excite": (
        [
            RELU,
            node("GlobalAveragePool", ["q"], ["g"], "pool"),
            node("Conv", ["g", "ws"], ["e"], "squeeze"),
            node("Sigmoid", ["e"], ["s"], "gate"),
            node("Mul", ["q", "s"], ["m"], "excite"),
        ],
        {"ws": np.random.default_rng(1).normal(0, 0.3, (16, 16, 1, 1)).astype(np.float32)},
        16,
    ),
    "channel shuffle": (
        [
            RELU,
            node("Reshape", ["q", "apart"], ["a"], "apart"),
            node("Transpose", ["a"], ["t"], "swap", perm=[0, 2, 1, 3, 4]),
            node("Reshape", ["t", "together"], ["m"], "together"),
        ],
        {"apart": np.array([-1, 4, 4, 16, 16]), "together": np.array([-1, 16, 16, 16])},
        16,
    ),
}


@pytest.mark.parametrize("name", FUSED)
def test_the_middle_of_a_network_is_fused_whole(name: str) -> None:
    """One conversion in, one out, and nothing in float between the convolutions."""
    middle, weights, channels = FUSED[name]
    data = simplified(between_convolutions(middle, weights, channels=(16, channels)), noise(8))
    form = static(data, noise(8))
    found = audit(form, SessionSettings())
    assert (found.float32, found.conversions, found.fell_back, found.strays) == (0, 2, (), ())
    assert decibels(data, form, noise(8, seed=1)) > 28


@pytest.mark.parametrize(
    ("gate", "kernels"),
    [
        ([node("Sigmoid", ["c"], ["s"], "gate")], {"QuickGelu"}),
        ([node("HardSigmoid", ["c"], ["s"], "gate")], {"HardSigmoid", "Mul"}),
        (
            [node("Add", ["c", "three"], ["p"], "shift"), node("Clip", ["p", "zero", "six"], ["s"], "gate")],
            {"Add", "Clip", "Mul"},
        ),
    ],
    ids=["SiLU", "hard-swish", "hard-swish spelled out"],
)
def test_gated_activations_are_one_float_block(gate: list[onnx.NodeProto], kernels: set[str]) -> None:
    """Rounded before and behind, never in the middle; SiLU becomes one kernel."""
    numbers = {name: np.full((), value, np.float32) for name, value in {"three": 3, "zero": 0, "six": 6}.items()}
    used = {name for item in gate for name in item.input}
    middle = [*gate, node("Mul", ["c", "s"], ["m"], "product")]
    weights = {name: value for name, value in numbers.items() if name in used}
    data = simplified(between_convolutions(middle, weights), noise(8))
    form = static(data, noise(8))
    found = executed(form)
    assert found["QLinearConv"] == 3
    assert found["QuantizeLinear"] == 2
    assert kernels <= set(found)
    assert {stray.operator for stray in audit(form, SessionSettings()).strays} == kernels
    assert decibels(data, form, noise(8, seed=1)) > 28


def test_the_nodes_of_a_gated_activation_can_be_kept_too() -> None:
    """Naming one of them leaves a model that runs and has no rounding between them."""
    middle = [node("Sigmoid", ["c"], ["s"], "gate"), node("Mul", ["c", "s"], ["m"], "product")]
    data = simplified(between_convolutions(middle), noise(8))
    assert decibels(data, static(data, noise(8), keep_float=("gate", "product")), noise(4)) > 28


def _quantizers(form: bytes) -> dict[str, onnx.NodeProto]:
    graph = onnx.load_model_from_string(form).graph
    return {item.input[0]: item for item in graph.node if item.op_type == "QuantizeLinear"}


def test_what_only_float_nodes_use_is_not_rounded() -> None:
    """A float head has no conversions, and a matrix product at the end hands out float32."""
    data = residual_convnet().SerializeToString()
    form = static(data, {"x": images(20)}, keep_float=("conv1", "relu1"))
    assert set(_quantizers(form)) == {"r1", "c2", "r2", "p", "f"}
    outputs = {name for item in onnx.load_model_from_string(form).graph.node for name in item.output}
    assert "y" in outputs
    assert executed(form)["DequantizeLinear"] == 0


def test_a_region_without_multiplications_is_left_alone() -> None:
    """With every layer in float nothing is rounded, and the very model comes back."""
    data = residual_convnet().SerializeToString()
    assert static(data, {"x": images(20)}, keep_float=("conv1", "conv2", "classifier")) == data


def test_float_readers_of_a_rounded_tensor_read_it_rounded() -> None:
    """Else onnxruntime would have to compute the layer twice, in float and in int8."""
    middle = [node("Tanh", ["c"], ["t"], "tanh"), node("Add", ["c", "t"], ["m"], "add")]
    data = simplified(between_convolutions(middle), noise(8))
    found = audit(static(data, noise(8)), SessionSettings())
    assert found.fell_back == ()
    assert [stray.operator for stray in found.strays] == ["Tanh"]


def test_the_same_input_gives_the_same_bytes() -> None:
    """A form can be made again, byte for byte."""
    model = ZOO["nano_detector"]()
    feeds = feeds_for(model, 1)
    data = simplified(model, feeds)
    assert static(data, feeds) == static(data, feeds)


def test_inputs_of_a_concatenation_agree_where_they_nearly_do() -> None:
    """Ranges within a quarter of each other share one scale; far ones keep their own."""
    data = simplified(between_convolutions(*FUSED["Concat"][:2], channels=(16, 32)), noise(4))
    ranges = ranges_of(data, noise(4))

    def scales(low: float, high: float) -> tuple[float, ...]:
        form = quantize(data, Recipe(Int8Static()), ranges | {"q": (0.0, low), "r0": (0.0, high), "m": (0.0, high)})
        constants = {item.name: item for item in onnx.load_model_from_string(form).graph.initializer}
        found = _quantizers(form)
        return tuple(float(numpy_helper.to_array(constants[found[name].input[1]])) for name in ("q", "r0", "m"))

    assert len(set(scales(3.5, 4.0))) == 1
    near, far, joint = scales(1.0, 4.0)
    assert near < far == joint


def test_a_large_bias_beside_tiny_weights_does_not_overflow() -> None:
    """The bias is kept as int32 in steps of input scale * weight scale: the weight's scale grows until it fits."""
    random = np.random.default_rng(0)
    weights = {"w": random.normal(0, 0.3, (8, 4)).astype(np.float32), "b": np.ones(8, np.float32)}
    weights["w"][3] *= 1e-12
    weights["b"][3] = 100
    model = model_of(
        [node("Gemm", ["x", "w", "b"], ["y"], "dense", transB=1)], weights, {"x": ["N", 4]}, {"y": ["N", 8]}
    )
    feeds: Feeds = {"x": random.normal(0, 1, (20, 4)).astype(np.float32)}
    data = model.SerializeToString()
    form = static(data, feeds)
    y = OrtEngine(form).run(feeds)["y"]
    np.testing.assert_allclose(y[:, 3], 100, rtol=1e-4)
    assert decibels(data, form, feeds) > 40


def test_a_weight_that_two_layers_share_is_stored_for_each() -> None:
    """On x86 without VNNI onnxruntime cannot load a model whose layers read the same codes."""
    weights = {"w": np.random.default_rng(0).normal(0, 0.3, (8, 8)).astype(np.float32), "b": np.ones(8, np.float32)}
    nodes = [
        node("Gemm", ["x", "w", "b"], ["h"], "first"),
        node("Relu", ["h"], ["r"], "relu"),
        node("Gemm", ["r", "w", "b"], ["y"], "second"),
    ]
    feeds: Feeds = {"x": np.random.default_rng(1).normal(0, 1, (20, 8)).astype(np.float32)}
    data = model_of(nodes, weights, {"x": ["N", 8]}, {"y": ["N", 8]}).SerializeToString()
    form = static(data, feeds)
    assert executed(form)["QGemm"] == 2
    assert decibels(data, form, feeds) > 30


def test_graph_outputs_keep_their_names() -> None:
    """A convolution's output must be rounded even where it leaves the graph; callers still find it by name."""
    data = simplified(between_convolutions(*FUSED["Relu"][:2]), noise(4))
    model = onnx.load_model_from_string(data)
    model.graph.output.append(helper.make_tensor_value_info("m", TensorProto.FLOAT, None))
    form = static(model.SerializeToString(), noise(4))
    assert set(OrtEngine(form).run(noise(2))) == {"y", "m"}
    assert decibels(model.SerializeToString(), form, noise(4)) > 28


def test_bodies_of_control_flow_read_what_is_rounded() -> None:
    """The dense layer in front of an `If` is int8; both branches read its result by its old name."""
    model = ZOO["branching"]()
    feeds = feeds_for(model, 16)
    data = simplified(model, feeds)
    form = static(data, feeds)
    assert executed(form)["QGemm"] == 1
    for sign in (1, -1):
        signed = {"x": sign * np.abs(feeds["x"])}
        assert decibels(data, form, signed) > 20


def test_old_operator_sets_get_one_scale_per_weight() -> None:
    """Scales per channel begin in opset 13."""
    data = residual_convnet(opset=12).SerializeToString()
    form = static(data, {"x": images(20)})
    graph = onnx.load_model_from_string(form).graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    restored = [item for item in graph.node if item.op_type == "DequantizeLinear" and item.input[0] in constants]
    assert len(restored) >= 3
    assert {constants[item.input[1]].shape for item in restored} == {()}
    assert decibels(data, form, {"x": images(20, seed=1)}) > 20


@pytest.mark.parametrize(("opset", "ranges"), [(9, {}), (17, {"x": (0.0, 1.0)})])
def test_what_cannot_be_quantized_is_refused(opset: int, ranges: dict[str, tuple[float, float]]) -> None:
    """Operator sets without quantized operators, and ranges of another model."""
    with pytest.raises(BadInput) as caught:
        quantize(residual_convnet(opset).SerializeToString(), Recipe(Int8Static()), ranges)
    assert caught.value.code == "E-QUANTIZE"


@pytest.mark.parametrize("opset", [17, 21])
@pytest.mark.parametrize("scheme", [Int8Static(), Int8StaticSymmetric()])
def test_wide_nodes_take_16_bits(opset: int, scheme: Int8Static | Int8StaticSymmetric) -> None:
    """Around the named nodes activations take 16 bits, which runs and is closer to float32."""
    data = simplified(between_convolutions(*FUSED["residual Add"][:2], opset=opset), noise(8))
    ranges = ranges_of(data, noise(8))
    narrow = quantize(data, Recipe(scheme), ranges)
    wide = quantize(data, Recipe(scheme, wide=("conv0", "conv1", "add", "conv2")), ranges)
    assert decibels(data, wide, noise(8)) > decibels(data, narrow, noise(8)) + 2
    kinds = {item.data_type for item in onnx.load_model_from_string(wide).graph.initializer}
    assert kinds & {TensorProto.UINT16, TensorProto.INT16}
    domains = {item.domain for item in _quantizers(wide).values()}
    assert domains == ({"com.microsoft"} if opset < 21 else {""})


def test_one_wide_node_leaves_the_others_narrow() -> None:
    """Only its own tensors take 16 bits; what follows is still int8."""
    data = simplified(between_convolutions(*FUSED["Relu"][:2]), noise(8))
    found = audit(static(data, noise(8), wide=("conv0",)), SessionSettings())
    assert found.integer == 1
    assert any("16" in fallen.reason for fallen in found.fell_back)


def test_the_symmetric_form_is_what_tensorrt_reads() -> None:
    """All zero points 0, activations int8, biases float, activation functions in front of the rounding."""
    data = simplified(between_convolutions(*FUSED["residual Add"][:2]), noise(8))
    form = quantize(data, Recipe(Int8StaticSymmetric()), ranges_of(data, noise(8)))
    graph = onnx.load_model_from_string(form).graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    pairs = [item for item in graph.node if item.op_type in {"QuantizeLinear", "DequantizeLinear"}]
    assert {constants[item.input[2]].dtype for item in pairs} == {np.dtype(np.int8)}
    assert not any(constants[item.input[2]].any() for item in pairs)
    assert constants["b1"].dtype == np.float32
    assert next(item for item in graph.node if item.op_type == "Relu").output[0] in _quantizers(form)
    assert decibels(data, form, noise(8)) > 28


def test_more_operators_can_be_quantized_for_an_experiment() -> None:
    """`also` rounds around operators that stay float otherwise."""
    model = ZOO["mlp"]()
    feeds = feeds_for(model, 16)
    data = simplified(model, feeds)
    tensors = ["x", *(name for item in onnx.load_model_from_string(data).graph.node for name in item.output)]
    values = activations(data, feeds, tensors)
    ranges = {name: (float(array.min()), float(array.max())) for name, array in values.items()}
    usual = quantize(data, Recipe(Int8Static()), ranges)
    more = quantize(data, Recipe(Int8Static(also=("Sub", "Div"))), ranges)
    assert "x" in _quantizers(more)
    assert "x" not in _quantizers(usual)


def test_matrix_products_with_two_activations_stay_float() -> None:
    """Attention scores are no weighted layer; the projections around them are integer."""
    model = ZOO["transformer_encoder"]()
    feeds = feeds_for(model, 4)
    data = simplified(model, feeds)
    found = executed(static(data, feeds))
    assert found["MatMulIntegerToFloat"] == 12
    assert found["FusedMatMul"] + found["MatMul"] == 4


def test_dense_layers_with_odd_attributes_stay_float() -> None:
    """The integer kernel, QGemm, knows neither scaled products nor a transposed input."""
    weights = {"w": np.random.default_rng(0).normal(0, 1, (4, 4)).astype(np.float32)}
    for attributes in ({"alpha": 0.5}, {"transA": 1}):
        nodes = [node("Gemm", ["x", "w"], ["y"], "dense", **attributes)]
        data = model_of(nodes, weights, {"x": [4, 4]}, {"y": [4, 4]}).SerializeToString()
        assert static(data, {"x": np.ones((4, 4), np.float32)}) == data


def test_unnormalized_range_of_zero_does_not_divide_by_zero() -> None:
    """A tensor that was always zero gets a scale of 1."""
    data = mlp().SerializeToString()
    form = static(data, {"x": np.zeros((4, 8), np.float32)})
    assert np.isfinite(OrtEngine(form).run({"x": np.ones((2, 8), np.float32)})["y"]).all()
