"""What a model is made of, as numbers: operators with their domains, parameters, multiplications."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set

import onnx
from google.protobuf.message import DecodeError

from optimizer.graph import WEIGHTED_OPS, float_weights, nodes

_Shapes = Mapping[str, Sequence[int | None]]
_QUANTIZING = frozenset({"DequantizeLinear", "QuantizeLinear"})
_MULTIPLYING = frozenset({"Conv", "ConvInteger", "ConvTranspose", "Gemm", "MatMul", "MatMulInteger"})


def operators(graph: onnx.GraphProto) -> dict[str, int]:
    """Return operator type -> count, most frequent first; those of other operator sets carry their domain in front."""
    counts: dict[str, int] = {}
    for node in nodes(graph):
        name = node.op_type if node.domain in {"", "ai.onnx"} else f"{node.domain}.{node.op_type}"
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def opsets(model: onnx.ModelProto) -> dict[str, int]:
    """Return the version of each operator set by domain, the default one as ``ai.onnx``."""
    return {entry.domain or "ai.onnx": int(entry.version) for entry in model.opset_import}


def parameters(graph: onnx.GraphProto) -> int:
    """Return how many numbers the model has learned or was given: elements of all constants with more than one.

    Scales and zero points of quantized tensors are left out, so that a model and its int8 form count the same.
    """
    steps = {name for node in nodes(graph) if node.op_type in _QUANTIZING for name in node.input[1:]}
    total = _constants(graph, steps)
    for node in nodes(graph):
        for attribute in node.attribute:
            total += sum(_constants(body, steps) for body in (attribute.g, *attribute.graphs))
            if node.op_type == "Constant":
                total += _elements(attribute.t.dims)
            elif node.domain == "ai.onnx.ml":
                # Trees and linear models keep their numbers in attributes.
                total += len(attribute.floats)
    return total


def multiplications(model: onnx.ModelProto) -> int | None:
    """Return multiply-accumulate operations of one sample, None where a shape they depend on is not known.

    Counted are convolutions and matrix products outside control flow, an open first dimension as one sample.
    Conv: elements of the output x channels of one group x kernel; ConvTranspose: the same of the input;
    Gemm, MatMul: elements of the output x length of the sum.
    """
    shapes = _shapes(model)
    counts = [_of_node(node, shapes) for node in model.graph.node if node.op_type in _MULTIPLYING]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def stays_float(graph: onnx.GraphProto) -> Iterator[tuple[str, str]]:
    """Yield (node, reason) for multiplying operators of a float model that no int8 form covers."""
    quantizable = {id(node) for node in float_weights(graph).values()}
    constants = {item.name for item in graph.initializer}
    constants |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
    outer = list(graph.node)
    shared = {node.input[1] for node in float_weights(graph).values()}
    for node in nodes(graph):
        if node.op_type not in WEIGHTED_OPS or id(node) in quantizable or len(node.input) < 2:
            continue
        name = node.name or node.output[0]
        if not any(node is top for top in outer):
            yield name, f"{node.op_type} inside control flow"
        elif node.input[1] in constants and node.input[1] not in shared:
            yield name, f"{node.op_type} whose weights are not float32"
        elif node.input[1] not in constants:
            yield name, f"{node.op_type} of two computed tensors, as given: no constant weights"


def _constants(graph: onnx.GraphProto, without: Set[str]) -> int:
    return sum(_elements(item.dims) for item in graph.initializer if item.name not in without)


def _elements(dims: Sequence[int]) -> int:
    """Return the number of elements; a single one is an axis, a scale or a shape rather than a parameter."""
    count = math.prod(dims)
    return count if count > 1 else 0


def _shapes(model: onnx.ModelProto) -> _Shapes:
    """Return the shape of every tensor that is known, None for an open dimension; the first one of inputs counts 1."""
    closed = onnx.ModelProto()
    closed.CopyFrom(model)
    for value in closed.graph.input:
        shape = value.type.tensor_type.shape
        if shape.dim and not shape.dim[0].HasField("dim_value"):
            shape.dim[0].dim_value = 1
    del closed.graph.value_info[:]  # written for an open first dimension, it would contradict the one sample
    for value in closed.graph.output:
        value.type.tensor_type.ClearField("shape")
    _sort(closed.graph)
    try:
        closed = onnx.shape_inference.infer_shapes(closed)
    except (onnx.shape_inference.InferenceError, DecodeError, ValueError):
        return {}
    values = [*closed.graph.input, *closed.graph.value_info, *closed.graph.output]
    shapes: dict[str, Sequence[int | None]] = {
        value.name: [
            int(size.dim_value) if size.HasField("dim_value") else None for size in value.type.tensor_type.shape.dim
        ]
        for value in values
        if value.type.tensor_type.HasField("shape")
    }
    shapes.update((item.name, list(item.dims)) for item in closed.graph.initializer)
    return shapes


def _sort(graph: onnx.GraphProto) -> None:
    """Bring nodes into the order they run in: shapes are inferred in one pass, and quantizers append their nodes."""
    made = {name for node in graph.node for name in node.output} - {""}  # an output left out has no name
    waiting, ordered = list(graph.node), []
    while waiting:
        ready = [node for node in waiting if not made.intersection(node.input)]
        if not ready:
            return
        ordered += ready
        made.difference_update(name for node in ready for name in node.output)
        done = {id(node) for node in ready}
        waiting = [node for node in waiting if id(node) not in done]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered]
    del graph.node[:]
    graph.node.extend(copies)


def _of_node(node: onnx.NodeProto, shapes: _Shapes) -> int | None:
    output, first, weight = (shapes.get(name) for name in (node.output[0], node.input[0], node.input[1]))
    if node.op_type == "ConvTranspose":
        return _product(first, weight[1:] if weight else None)
    if node.op_type in {"Conv", "ConvInteger"}:
        return _product(output, weight[1:] if weight else None)
    if not first:
        return None
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return _product(output, [first[0] if transposed else first[-1]])


def _product(*shapes: Sequence[int | None] | None) -> int | None:
    total = 1
    for shape in shapes:
        if shape is None or None in shape:
            return None
        total *= math.prod(size for size in shape if size is not None)
    return total
