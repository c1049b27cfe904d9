"""Which nodes compute in int8, and through which tensors: decided before anything is written.

Weighted layers start an int8 region. Operators that move, pool or add follow where their data come out of the region
and go on into it, because a conversion to float and back costs more than they do. What only float nodes use is not
touched.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field

import onnx

from optimizer.quantizers.wiring import ACTIVATIONS, CARRIERS, WEIGHTED, Wiring

# Integer kernels of their own, cheaper than a conversion to float and back.
_FOLLOWERS = frozenset({"Add", "AveragePool", "Concat", "GlobalAveragePool", "LeakyRelu", "Mul", "Sigmoid"})
_SHRINKING = frozenset({"AveragePool", "GlobalAveragePool", "MaxPool"})  # worth an int8 kernel even at the end
_GATHERING = frozenset({"Concat", "MaxPool", "Resize"})  # taken into the region in front of it as well
_GATES = frozenset({"Add", "Clip", "Div", "Erf", "HardSigmoid", "Mul", "Relu", "Sigmoid", "Softplus", "Tanh"})
# onnxruntime fuses these with a Gemm in front before it looks for integer kernels, so the Gemm's output is rounded.
_FUSED_WITH_GEMM = frozenset(
    {"Elu", "HardSigmoid", "LeakyRelu", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Tanh", "ThresholdedRelu"}
)
QUANTIZABLE = WEIGHTED | CARRIERS | _FOLLOWERS | ACTIVATIONS


@dataclass(frozen=True)
class Region:
    """The int8 part of a graph.

    Attributes:
        nodes: Names of the nodes that compute in int8; activations among them may be absorbed.
        quantized: Tensors that pass through a QuantizeLinear, in the order they are made.
    """

    nodes: frozenset[str]
    quantized: tuple[str, ...] = field(default=())

    def __contains__(self, node: onnx.NodeProto) -> bool:
        return node.name in self.nodes


def find_region(wiring: Wiring, keep_float: Collection[str], also: Collection[str] = ()) -> Region:
    """Return the int8 part.

    Args:
        wiring: The graph; every node has a name of its own.
        keep_float: Names of nodes that stay float.
        also: Operator types that are quantized besides the usual ones, wherever they stand.
    """
    blocks = gated_blocks(wiring)
    chosen: dict[str, onnx.NodeProto] = {}
    for node in wiring.graph.node:
        if node.name in keep_float or not _readable(wiring, node):
            continue
        starts = node.op_type in also or (node.op_type in WEIGHTED and _multiplies_a_constant(wiring, node))
        follows = node.op_type in QUANTIZABLE - WEIGHTED and node.name not in blocks
        if starts or (follows and _follows(wiring, node, chosen)):
            chosen[node.name] = node
    for node in reversed(wiring.graph.node):
        if node.name in chosen and node.op_type in QUANTIZABLE - WEIGHTED - _SHRINKING - {*also}:
            readers = [other for name in node.output for other in wiring.consumers.get(name, [])]
            leads_on = any(other.name in chosen for other in readers)
            if not leads_on and not (node.op_type in ACTIVATIONS and _absorbable_place(wiring, node, chosen)):
                del chosen[node.name]
    for node in reversed(wiring.graph.node):
        if node.name not in chosen and node.name not in keep_float and _leads_in(wiring, node, chosen):
            chosen[node.name] = node
    region = Region(frozenset(chosen))
    return Region(region.nodes, tuple(_quantized(wiring, region)))


def gated_blocks(wiring: Wiring) -> frozenset[str]:
    """Return the nodes of x * gate(x), such as SiLU and hard-swish, which stay float as one block.

    As one float kernel (see gates.py) the block takes 0.5 ns an element and two conversions of 0.2; two int8 kernels
    take 0.9, and the gate in the middle would be rounded once more.
    """
    found: set[str] = set()
    for node in wiring.graph.node:
        names = wiring.data_inputs(node) if node.op_type == "Mul" else []
        for gated, gate in (names, names[::-1]) if len(names) == 2 else ():
            chain = _chain(wiring, gate, gated)
            if chain:
                found |= {node.name, *chain}
    return frozenset(found)


def _chain(wiring: Wiring, end: str, start: str) -> list[str]:
    """Return the elementwise nodes with constants that lead from one tensor to another; none if no such way does."""
    chain: list[str] = []
    while end != start:
        node = wiring.producers.get(end)
        if node is None or node.op_type not in _GATES or len(wiring.consumers[end]) > 1 or end in wiring.pinned:
            return []
        names = wiring.data_inputs(node)
        if len(names) != 1:
            return []
        chain.append(node.name)
        end = names[0]
    return chain


def rounds_output(wiring: Wiring, region: Region, node: onnx.NodeProto, name: str) -> bool:
    """Tell whether an int8 node's output must be rounded for the node to get an integer kernel.

    Matrix products can hand out float32 (onnxruntime's QGemm and MatMulIntegerToFloat), which is also more accurate.
    """
    readers = wiring.consumers.get(name, [])
    if node.op_type in CARRIERS:
        return True
    if len(readers) == 1 and name not in wiring.pinned and readers[0] in region and readers[0].op_type in ACTIVATIONS:
        return False  # what is rounded is the tensor behind the activation
    if node.op_type == "Gemm" and len(readers) == 1 and readers[0].op_type in _FUSED_WITH_GEMM:
        return True
    if node.op_type in {"Gemm", "MatMul"}:
        return any(reader in region and name in wiring.data_inputs(reader) for reader in readers)
    return True


def _quantized(wiring: Wiring, region: Region) -> list[str]:
    """Return every tensor that int8 nodes read or must write rounded."""
    wanted: dict[str, None] = {}
    for node in wiring.graph.node:
        if node not in region:
            continue
        for name in wiring.data_inputs(node):
            producer = wiring.producers.get(name)
            if producer is None or producer not in region or rounds_output(wiring, region, producer, name):
                wanted[name] = None
        for name in node.output:
            if name in wiring.floats and rounds_output(wiring, region, node, name):
                wanted[name] = None
    return list(wanted)


def _readable(wiring: Wiring, node: onnx.NodeProto) -> bool:
    return node.domain in {"", "ai.onnx"} and bool(wiring.data_inputs(node)) and node.output[0] in wiring.floats


def _multiplies_a_constant(wiring: Wiring, node: onnx.NodeProto) -> bool:
    """Tell whether a weighted node has the form that integer kernels know."""
    if len(node.input) < 2 or node.input[1] not in wiring.constants or node.input[1] not in wiring.floats:
        return False
    if len(node.input) > 2 and node.input[2] and node.input[2] not in wiring.constants:
        return False
    if node.op_type != "Gemm":
        return True
    settings = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    plain = not settings.get("transA", 0) and settings.get("alpha", 1.0) == settings.get("beta", 1.0) == 1.0
    bias = wiring.constants.get(node.input[2]) if len(node.input) > 2 else None
    outputs = wiring.constants[node.input[1]].dims[0 if settings.get("transB", 0) else 1]
    return plain and (bias is None or bias.dims[-1:] == [outputs] == [math.prod(bias.dims)])


def _follows(wiring: Wiring, node: onnx.NodeProto, chosen: dict[str, onnx.NodeProto]) -> bool:
    """Tell whether data come out of the int8 region into this node and an int8 form of it exists."""
    makers = [wiring.producers.get(name) for name in wiring.data_inputs(node)]
    inside = [maker for maker in makers if maker is not None and maker.name in chosen]
    if not inside:
        return False
    if node.op_type in {"Add", "Mul"} and len(makers) < 2:
        # A matrix product hands out float32, and a constant is then added more accurately in float32.
        return not any(maker.op_type in {"Gemm", "MatMul"} for maker in inside)
    if node.op_type in ACTIVATIONS:
        return _bounds_are_constant(wiring, node)
    return _is_copying(node)


def _leads_in(wiring: Wiring, node: onnx.NodeProto, chosen: dict[str, onnx.NodeProto]) -> bool:
    """Tell whether a node only gathers data for the region: codes are moved at a quarter of the bytes."""
    if node.op_type not in _GATHERING or not _readable(wiring, node) or not _is_copying(node):
        return False
    names = [name for name in node.output if name]
    readers = [reader for name in names for reader in wiring.consumers.get(name, [])]
    if wiring.pinned.intersection(names) or not readers:
        return False
    return all(
        reader.name in chosen and name in wiring.data_inputs(reader)
        for name in names
        for reader in wiring.consumers[name]
    )


def _is_copying(node: onnx.NodeProto) -> bool:
    """Tell whether a Resize, if it is one, copies pixels: onnxruntime interpolates in float32 only."""
    return not any(item.name == "mode" and item.s in {b"cubic", b"linear"} for item in node.attribute)


def _bounds_are_constant(wiring: Wiring, node: onnx.NodeProto) -> bool:
    return all(name in wiring.constants for name in node.input[1:] if name)


def _absorbable_place(wiring: Wiring, node: onnx.NodeProto, chosen: dict[str, onnx.NodeProto]) -> bool:
    """Tell whether an activation stands right behind a kernel whose output is rounded in any case."""
    maker = wiring.producers.get(node.input[0])
    return maker is not None and maker.name in chosen and maker.op_type != "MatMul"
