"""W (x * s) = (W s) x and s * (W x + b) = (s W) x + s b: constant factors move into the weights beside them.

1. Mul or Div by a constant, one factor or one per channel, read only by Conv, Gemm or MatMul: into the weight's inputs.
2. Mul or Div by a constant, one factor or one per column, of what Gemm alone gives it: into its weight and bias.

Padding is not concerned: zero times a factor is zero. Factors behind a Conv are folded by onnxruntime already.
"""

from __future__ import annotations

import numpy as np
import onnx

from edge_runtime.inference.engine import Array
from optimizer.simplify.editor import Editor, attribute, rewrite
from optimizer.simplify.features import along_features, into_weight_inputs

_OPERATORS = ("Mul", "Div")


def apply(data: bytes) -> bytes:
    """Return the model with factors folded."""
    return rewrite(data, _once)


def _once(graph: Editor) -> bool:
    return any(_fold(graph, node) for node in graph.find(*_OPERATORS))


def _fold(graph: Editor, node: onnx.NodeProto) -> bool:
    factor, source = graph.constant(node.input[1]), node.input[0]
    if factor is None and node.op_type == "Mul":
        factor, source = graph.constant(node.input[0]), node.input[1]
    if graph.made_by(source, "Mul"):
        return False  # the end of x * (1 + erf(x)) * 0.5 and its kind, which onnxruntime knows only as a whole
    if factor is None or factor.dtype != np.float32 or graph.constant(source) is not None:
        return False
    if node.op_type == "Div":
        if not factor.all():
            return False
        factor = np.reciprocal(factor)
    return _into_next(graph, node, source, factor) or _into_previous(graph, node, source, factor)


def _into_next(graph: Editor, node: onnx.NodeProto, source: str, factor: Array) -> bool:
    layer = graph.only_user(node.output[0], "Conv", "Gemm", "MatMul")
    weight = graph.constant(layer.input[1]) if layer else None
    if layer is None or weight is None or layer.input[0] != node.output[0] or attribute(layer, "transA", 0):
        return False
    per_feature = along_features(factor, layer.op_type, graph.shape(source))
    scaled = None if per_feature is None else into_weight_inputs(layer, weight, per_feature)
    if scaled is None:
        return False
    new = graph.copy_of(layer)
    new.input[0], new.input[1] = source, graph.add_constant(scaled, f"{layer.input[1]}/scaled")
    graph.replace([node, layer], [new])
    return True


def _into_previous(graph: Editor, node: onnx.NodeProto, source: str, factor: Array) -> bool:
    layer = graph.made_by(source, "Gemm")
    if layer is None or graph.only_user(source, *_OPERATORS) is None or not _is_plain(layer):
        return False
    weight = graph.constant(layer.input[1])
    bias = graph.constant(layer.input[2]) if len(layer.input) > 2 else None
    per_column = along_features(factor, "Gemm", graph.shape(source))
    if weight is None or per_column is None or (bias is None and len(layer.input) > 2):
        return False
    columns = per_column[:, None] if attribute(layer, "transB", 0) and per_column.size > 1 else per_column
    new = graph.copy_of(layer)
    new.input[1] = graph.add_constant(weight * columns, f"{layer.input[1]}/scaled")
    if bias is not None:
        new.input[2] = graph.add_constant(bias * per_column, f"{layer.input[2]}/scaled")
    new.output[0] = node.output[0]
    graph.replace([layer, node], [new])
    return True


def _is_plain(gemm: onnx.NodeProto) -> bool:
    return bool(attribute(gemm, "alpha", 1.0) == attribute(gemm, "beta", 1.0) == 1.0)
