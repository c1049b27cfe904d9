"""What a model is made of, as numbers: operators with their domains, parameters, multiplications."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import onnx
from google.protobuf.message import DecodeError

from optimizer.graph import nodes

_Shapes = Mapping[str, Sequence[int | None]]
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
    """Return how many numbers the model has learned or was given: elements of all constants with more than one."""
    total = _constants(graph)
    for node in nodes(graph):
        for attribute in node.attribute:
            total += sum(_constants(body) for body in (attribute.g, *attribute.graphs))
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


def _constants(graph: onnx.GraphProto) -> int:
    return sum(_elements(item.dims) for item in graph.initializer)


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
    for value in closed.graph.output:
        value.type.tensor_type.ClearField("shape")  # else their open batch contradicts the one sample
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
