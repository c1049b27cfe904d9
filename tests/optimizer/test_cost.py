"""Predicted costs of layers: what they are made of, and the directions they must have."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from forms import between_convolutions, node, noise, simplified, static
from models import residual_convnet
from zoo import ZOO, feeds_for

from optimizer.cost import PROCESSORS, known_shapes, layer_costs


def _one_convolution(inner: int, outer: int, side: int, kernel: int, group: int = 1) -> tuple[float, float]:
    weight = np.zeros((outer, inner // group, kernel, kernel), np.float32)
    item = node("Conv", ["x", "w"], ["y"], "conv", group=group, pads=[kernel // 2] * 4)
    graph = onnx.helper.make_graph(
        [item],
        "test",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", inner, side, side])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    return layer_costs(onnx.helper.make_model(graph).SerializeToString(), {"x": (1, inner, side, side)})["conv"]


def test_the_formulas_are_those_of_the_measured_lines() -> None:
    """A dense 3x3 of 64 channels at 28x28: 28.9 MMAC, 50.2 kOut, 7.06 kTap."""
    macs, outputs, taps = 28 * 28 * 64 * 64 * 9 / 1e6, 28 * 28 * 64 / 1e3, 28 * 28 * 9 / 1e3
    found = _one_convolution(64, 64, 28, 3)
    assert found == pytest.approx((1.5 + 14 * macs + 1.95 * taps, 2.8 + 3.7 * macs + 0.145 * outputs + 1.4 * taps))


@pytest.mark.parametrize(
    ("layer", "faster"),
    [
        ((128, 128, 14, 1, 1), True),
        ((64, 64, 28, 3, 1), True),
        ((16, 16, 14, 3, 1), True),
        ((8, 8, 28, 1, 1), False),
        ((64, 64, 28, 3, 64), False),
        ((8, 8, 48, 3, 8), False),
        ((3, 32, 112, 3, 1), False),
    ],
    ids=["wide 1x1", "dense 3x3", "narrow dense 3x3", "narrow 1x1", "depthwise", "depthwise 8", "RGB stem"],
)
def test_int8_pays_where_it_was_measured_to(layer: tuple[int, int, int, int, int], faster: bool) -> None:
    """Wide and dense layers gain, depthwise ones and the stem lose (with VNNI)."""
    float_us, int8_us = _one_convolution(*layer)
    assert (int8_us < float_us) is faster


def test_channels_beside_the_blocks_cost_more() -> None:
    """Eight depthwise channels take longer in int8 than sixteen do."""
    assert _one_convolution(8, 8, 48, 3, 8)[1] > _one_convolution(16, 16, 48, 3, 16)[1]


@pytest.mark.parametrize("name", sorted(set(ZOO) - {"branching", "mobile_cnn"}))
def test_every_layer_of_a_model_has_a_cost(name: str) -> None:
    """From the input's shape alone, for 1-D, 2-D and dense layers; none is negative."""
    model = ZOO[name]()
    feeds = feeds_for(model, 1)
    data = simplified(model, feeds)
    graph = onnx.load_model_from_string(data).graph
    constants = {item.name for item in graph.initializer}
    layers = {n.name for n in graph.node if n.op_type in {"Conv", "Gemm", "MatMul"} and n.input[1] in constants}
    for kernels in (*PROCESSORS, "asimddp", "unknown"):
        costs = layer_costs(data, {name: values.shape for name, values in feeds.items()}, kernels)
        assert set(costs) == layers
        assert min(min(pair) for pair in costs.values()) > 0


def test_a_quantized_model_has_the_costs_of_its_float_model() -> None:
    """Q and DQ around a layer, and contributed operators, hide neither its shapes nor its weight."""
    middle = [node("Sigmoid", ["c"], ["s"], "gate"), node("Mul", ["c", "s"], ["m"], "product")]
    data = simplified(between_convolutions(middle), noise(4))
    shapes = {"x": (1, 16, 16, 16)}
    assert layer_costs(static(data, noise(4)), shapes) == layer_costs(data, shapes)


def test_layers_of_unknown_shape_are_left_out() -> None:
    """An output that no shape inference can tell has no cost, rather than a wrong one."""
    model = residual_convnet()
    model.graph.node[0].op_type = "Unheard"
    model.graph.node[0].domain = "custom"
    model.opset_import.append(onnx.helper.make_opsetid("custom", 1))
    assert set(layer_costs(model.SerializeToString(), {"x": (1, 3, 16, 16)})) == set()


def test_nodes_need_not_be_in_order() -> None:
    """The quantizer of onnxruntime appends its nodes at the end; shapes are found all the same."""
    model = residual_convnet()
    shapes = known_shapes(model.SerializeToString(), {"x": (2, 3, 16, 16)})
    turned = list(reversed(model.graph.node))
    del model.graph.node[:]
    model.graph.node.extend(turned)
    assert known_shapes(model.SerializeToString(), {"x": (2, 3, 16, 16)}) == shapes
    assert shapes["a"] == (2, 16, 16, 16)
