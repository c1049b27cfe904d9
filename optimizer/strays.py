"""Float operators left between two conversions, and the rule that kept onnxruntime from fusing them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from optimizer.graph import WEIGHTED_OPS, opset_of
from optimizer.simplify.upgrade_opset import PER_CHANNEL_OPSET

INTEGER_KERNELS = frozenset(
    {"ConvInteger", "DynamicQuantizeMatMul", "MatMulInteger", "MatMulIntegerToFloat"}
    | {"QGemm", "QLinearConv", "QLinearConvTranspose", "QLinearMatMul"}
)
_WIDE = frozenset({onnx.TensorProto.INT16, onnx.TensorProto.UINT16})
_GATES = frozenset({"Erf", "Gelu", "HardSigmoid", "HardSwish", "Mul", "QuickGelu", "Sigmoid", "Softplus", "Tanh"})
_LAYOUT = ("ReorderInput", "ReorderOutput")
_OPSET_OF_8_BIT_POOLING = 12


@dataclass(frozen=True)
class Stray:
    """An operator that runs in float between a DequantizeLinear and a QuantizeLinear.

    Attributes:
        node: Its name as written, where it has one; of the pair itself where no operator is left between them.
        operator: Its type.
        rule: Why it is not computed on the codes.
    """

    node: str
    operator: str
    rule: str


def find_strays(model: onnx.ModelProto, executed: onnx.GraphProto) -> tuple[Stray, ...]:
    """Return what runs in float with conversions on both sides.

    Args:
        model: The model as written.
        executed: The graph that onnxruntime executes of it.
    """
    constants = {item.name for item in executed.initializer}
    restored = {
        node.output[0]
        for node in executed.node
        if node.op_type == "DequantizeLinear" and node.input[0] not in constants
    }
    rounded = {node.input[0] for node in executed.node if node.op_type == "QuantizeLinear"}
    # Several elementwise operators may stand between the pair; each is followed from the first to the last.
    written = {node.name: node for node in model.graph.node}
    inside = restored | _reached(executed, restored)
    found = [
        Stray(node.name, node.op_type, _TWO_ENCODINGS)
        for node in executed.node
        if node.op_type == "QuantizeLinear" and node.input[0] in restored
    ]
    before_rounding = rounded | _reaching(executed, rounded)
    for node in executed.node:
        if node.op_type in {"QuantizeLinear", "DequantizeLinear", *_LAYOUT} | INTEGER_KERNELS:
            continue
        if inside.intersection(node.input) and before_rounding.intersection(node.output):
            original = _original(written, node)
            found.append(Stray(original.name, node.op_type, rule_of(model, original)))
    return tuple(found)


def rule_of(model: onnx.ModelProto, node: onnx.NodeProto) -> str:
    """Say which rule keeps onnxruntime from computing a node on integer codes."""
    kinds = _code_types(model.graph)
    types = {kinds[name] for name in node.input if name in kinds}
    opset = opset_of(model)
    rule = f"onnxruntime has no integer kernel for {node.op_type}"
    if types & _WIDE:
        rule = "16-bit activations have no integer kernel"
    elif node.op_type in {"Clip", "Relu"}:
        rule = f"{node.op_type} is kept: a zero point of 0 does not cut off what is below 0"
    elif node.op_type == "MaxPool" and opset < _OPSET_OF_8_BIT_POOLING:
        rule = f"MaxPool takes 8-bit numbers from opset {_OPSET_OF_8_BIT_POOLING} on, this is opset {opset}"
    elif node.op_type in WEIGHTED_OPS or node.op_type.startswith("Fused"):
        rule = _of_layer(model, node, types)
    elif onnx.TensorProto.INT8 in types and node.op_type in {"Add", "Concat", "GlobalAveragePool"}:
        rule = _AT_BRANCHES
    elif node.op_type in _GATES:
        rule = f"{node.op_type} is part of an activation (SiLU, hard-swish, Gelu) that is cheaper in float"
    return rule


_TWO_ENCODINGS = "two encodings meet: the codes are converted from one scale to another through float"
_AT_BRANCHES = (
    "int8 activations at a branch: on x86 onnxruntime turns them to uint8 only where they have one reader, and has no "
    "kernel for the mixture"
)


def _of_layer(model: onnx.ModelProto, node: onnx.NodeProto, types: set[int]) -> str:
    readers = [other for other in model.graph.node if node.output[0] in other.input]
    consumers = sorted({other.op_type for other in readers})
    if consumers and {*consumers} <= {"Clip", "Relu"}:
        return f"{' and '.join(consumers)} behind it is kept: a zero point of 0 does not cut off what is below 0"
    if consumers != ["QuantizeLinear"]:
        return f"its result goes to {', '.join(consumers) or 'the output'} without being quantized"
    constants = {item.name: item.data_type for item in model.graph.initializer}
    if {constants.get(name) for reader in readers for name in reader.input[2:3]} & _WIDE:
        return "its result is rounded to 16 bits, which no integer kernel writes"
    if opset_of(model) < PER_CHANNEL_OPSET:
        return f"opset {opset_of(model)} is below {PER_CHANNEL_OPSET}, where scales per channel begin"
    if onnx.TensorProto.INT8 in types and _branches(model.graph):
        return _AT_BRANCHES
    return "onnxruntime has no integer kernel for these types here"


def _branches(graph: onnx.GraphProto) -> bool:
    """Tell whether any rounded tensor has several readers."""
    readers: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    return any(readers.get(node.output[0], 0) > 1 for node in graph.node if node.op_type == "DequantizeLinear")


def _code_types(graph: onnx.GraphProto) -> dict[str, int]:
    """Return restored tensor -> the type of its codes, for activations."""
    constants = {item.name: item for item in graph.initializer}
    return {
        node.output[0]: constants[node.input[2]].data_type
        for node in graph.node
        if node.op_type == "DequantizeLinear" and len(node.input) > 2 and node.input[2] in constants
        if node.input[0] not in constants
    }


def _original(written: Mapping[str, onnx.NodeProto], node: onnx.NodeProto) -> onnx.NodeProto:
    """Return the written node of an executed one, which keeps or extends its name; itself where it has none."""
    names = [name for name in written if name and (node.name == name or node.name.startswith(f"{name}_"))]
    if names:
        return written[max(names, key=len)]
    makes = {
        *node.output,
        node.name.removesuffix("_nchwc"),
    }  # blocked operators are named by output
    return next((other for other in written.values() if makes.intersection(other.output)), node)


def _reached(graph: onnx.GraphProto, names: set[str]) -> set[str]:
    """Return what float operators make of the named tensors, up to the next rounding or integer kernel."""
    found: set[str] = set()
    for node in graph.node:
        if node.op_type in {"QuantizeLinear", "DequantizeLinear", "Shape"} | INTEGER_KERNELS:
            continue
        if (names | found).intersection(node.input):
            found |= set(node.output)
    return found


def _reaching(graph: onnx.GraphProto, names: set[str]) -> set[str]:
    """Return what float operators make the named tensors of, back to the last rounding or integer kernel."""
    found: set[str] = set()
    for node in reversed(graph.node):
        if node.op_type in {"QuantizeLinear", "DequantizeLinear"} | INTEGER_KERNELS:
            continue
        if (names | found).intersection(node.output):
            found |= {name for name in node.input if name}
    return found
