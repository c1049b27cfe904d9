"""What layers cost in float32 and in int8, predicted from shapes: a direction, never milliseconds.

Formulas of the form us = a + b MMAC + c kOut + d kTap (MMAC = 1e6 multiply-accumulates, kOut = 1000 output elements,
kTap = output pixels x kernel taps / 1000: the indirection of the input), fitted by relative least squares to single
layers of stride 1 with ReLU in onnxruntime 1.32, one thread. `avx512_vnni`: 89 layers on an Ice Lake Xeon, median error
11 to 17 %. `avx2`: 90 layers on an AMD EPYC without VNNI, session.x64quantprecision set, median error 5 to 22 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from optimizer.graph import WEIGHTED_OPS

Shapes = Mapping[str, Sequence[int]]

_BLOCK = 16  # channels that onnxruntime's float layout and its depthwise int8 kernel work on at a time
_PACK = 4  # input channels that its dense int8 kernel takes at a time
SMALL_DEPTHWISE = 4.0  # int8, channels no multiple of 16: no symmetric kernel; 0.14 to 0.31 x float32 measured
UNPACKED = 2.6  # int8, input channels no multiple of 4, such as RGB: im2col; 685 us measured, 259 by the formula
UNBLOCKED = 1.7  # float32 without the blocked layout: 33 us measured with 8 channels, 19 with 16


@dataclass(frozen=True)
class Line:
    """us = constant + macs * MMAC + outputs * kOut + taps * kTap."""

    constant: float
    macs: float
    outputs: float
    taps: float

    def at(self, macs: float, outputs: float, taps: float) -> float:
        """Return microseconds."""
        return self.constant + (self.macs * macs + self.outputs * outputs * 1e3 + self.taps * taps * 1e3) / 1e6


@dataclass(frozen=True)
class Processor:
    """Cost lines of one class of processor."""

    float_dense: Line
    int8_dense: Line
    float_depthwise: Line
    int8_depthwise: Line


PROCESSORS = {
    "avx512_vnni": Processor(
        Line(1.5, 14.0, 0.0, 1.95), Line(2.8, 3.7, 0.145, 1.4), Line(2.9, 20.7, 0.14, 0.0), Line(5.2, 22.2, 0.18, 1.75)
    ),
    "avx2": Processor(
        Line(0.8, 22.6, 0.0, 1.0), Line(2.2, 14.5, 0.37, 3.15), Line(1.1, 49.9, 0.0, 0.0), Line(1.6, 57.1, 0.6, 0.65)
    ),
}
# Not fitted; the class with the most similar multiplier stands in, good enough to order layers.
_STAND_INS = {"avx_vnni": "avx512_vnni", "i8mm": "avx512_vnni", "asimddp": "avx512_vnni", "asimd": "avx2"}

CONVERSION = 0.24  # ns an element for QuantizeLinear or DequantizeLinear
LAYOUT = 0.6  # ns an element where a conversion also changes between the float and the int8 memory layout
INTEGER_ELEMENTWISE = 0.23  # ns an element for QLinearAdd and its like; float32 does it inside the convolution
_SHAPE_KEEPING = frozenset({"DequantizeLinear", "QuantizeLinear", "QuickGelu"})  # onnx does not know onnxruntime's
OVERHEAD = 2.0  # us for every operator more


def layer_costs(data: bytes, shapes: Shapes, kernels: str = "avx512_vnni") -> dict[str, tuple[float, float]]:
    """Return weighted layer -> predicted (float32, int8) microseconds; layers of unknown shape are left out.

    Args:
        data: A model, float32 or with Q and DQ around its layers; its nodes are named.
        shapes: Full shapes of the inputs; of any other tensor where it is known. What is not given is inferred.
        kernels: What the processor multiplies 8-bit numbers with, as a device profile names it.
    """
    processor = PROCESSORS[kernels if kernels in PROCESSORS else _STAND_INS.get(kernels, "avx512_vnni")]
    graph = onnx.load_model_from_string(data).graph
    known = known_shapes(data, shapes)
    weights = {item.name: tuple(item.dims) for item in graph.initializer}
    weights |= {n.output[0]: weights.get(n.input[0], ()) for n in graph.node if n.op_type == "DequantizeLinear"}
    costs = {}
    for node in graph.node:
        weight = weights.get(node.input[1], ()) if node.op_type in WEIGHTED_OPS and len(node.input) > 1 else ()
        if weight and node.output[0] in known and node.input[0] in known:
            costs[node.name] = _layer(processor, node, weight, (known[node.input[0]], known[node.output[0]]))
    return costs


def known_shapes(data: bytes, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that can be told; open sizes of inputs that are not given are taken as 1."""
    model = onnx.load_model_from_string(data)
    constants = {item.name for item in model.graph.initializer}
    for item in model.graph.input:
        tensor = item.type.tensor_type
        if item.name not in constants and tensor.HasField("shape"):
            sizes = shapes.get(item.name, [size.dim_value or 1 for size in tensor.shape.dim])
            tensor.CopyFrom(onnx.helper.make_tensor_type_proto(tensor.elem_type, list(sizes)).tensor_type)
    for item in [*model.graph.output, *model.graph.value_info]:
        item.type.tensor_type.ClearField("shape")  # open sizes written there would win over what is inferred
    for node in model.graph.node:
        if node.domain == "com.microsoft" and node.op_type in _SHAPE_KEEPING:
            node.CopyFrom(onnx.helper.make_node("Identity", node.input[:1], node.output[:1]))
    _sort(model.graph)
    values = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    found: dict[str, tuple[int, ...]] = {}
    for item in [*values.input, *values.value_info, *values.output]:
        tensor = item.type.tensor_type
        sizes = [size.dim_value for size in tensor.shape.dim]
        if tensor.elem_type != TensorProto.UNDEFINED and tensor.HasField("shape") and all(sizes):
            found[item.name] = tuple(sizes)
    return found | {name: tuple(shape) for name, shape in shapes.items()}


def _sort(graph: onnx.GraphProto) -> None:
    """Bring nodes into the order they run, in place: shape inference goes once from the first to the last."""
    producers = {name: node for node in graph.node for name in node.output if name}
    waiting, done, ordered = list(reversed(graph.node)), set[str](), []
    while waiting:
        node = waiting.pop()
        missing = [producers[name] for name in node.input if name in producers and name not in done]
        if missing:
            waiting += [node, *missing]
        elif not done.issuperset(node.output):
            done.update(node.output)
            ordered.append(node)
    del graph.node[:]
    graph.node.extend(ordered)


def _layer(
    processor: Processor, node: onnx.NodeProto, weight: tuple[int, ...], ends: tuple[tuple[int, ...], tuple[int, ...]]
) -> tuple[float, float]:
    groups = next((int(item.i) for item in node.attribute if item.name == "group"), 1)
    outputs = float(math.prod(ends[1]))
    if node.op_type not in {"Conv", "ConvTranspose"}:
        macs, taps = outputs * ends[0][-1], outputs / ends[1][-1]
        return processor.float_dense.at(macs, outputs, taps), processor.int8_dense.at(macs, outputs, taps)
    kernel = math.prod(weight[2:])
    pixels = ends[1][0] * math.prod(ends[1][2:])
    size = ends[0] if node.op_type == "ConvTranspose" else ends[1]
    macs = float(math.prod(weight[1:])) * size[0] * size[1] * math.prod(size[2:])
    amounts = macs, outputs, float(pixels * kernel)
    channels = ends[0][1]
    if groups == channels > 1:
        is_blocked = channels % _BLOCK == 0
        float_us = processor.float_depthwise.at(*amounts) * (1.0 if is_blocked else UNBLOCKED)
        return float_us, processor.int8_depthwise.at(*amounts) * (1.0 if is_blocked else SMALL_DEPTHWISE)
    int8_us = processor.int8_dense.at(*amounts) * (UNPACKED if groups > 1 or channels % _PACK else 1.0)
    is_image = len(weight) == 4  # only these have the blocked float layout
    return processor.float_dense.at(*amounts) * (1.0 if is_image else UNBLOCKED), int8_us
