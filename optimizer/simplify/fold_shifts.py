"""W (x + c) + b = W x + (W c + b): constant terms before and behind a layer move into its bias.

1. Add or Sub of a constant, one term or one per channel, read only by Gemm or by Conv without padding: into the bias.
   (Padding is zeros behind the shift, so with it borders would differ.)
2. Add or Sub of a constant, one term or one per column, of what Gemm alone gives it: into its bias.
"""

from __future__ import annotations

import numpy as np
import onnx

from edge_runtime.inference.engine import Array
from optimizer.simplify.editor import Editor, attribute, rewrite
from optimizer.simplify.features import along_features, into_weight_inputs

_OPERATORS = ("Add", "Sub")


def apply(data: bytes) -> bytes:
    """Return the model with terms folded."""
    return rewrite(data, _once)


def _once(graph: Editor) -> bool:
    return any(_fold(graph, node) for node in graph.find(*_OPERATORS))


def _fold(graph: Editor, node: onnx.NodeProto) -> bool:
    term, source = graph.constant(node.input[1]), node.input[0]
    if term is None and node.op_type == "Add":
        term, source = graph.constant(node.input[0]), node.input[1]
    if term is None or term.dtype != np.float32 or graph.constant(source) is not None:
        return False
    if node.op_type == "Sub":
        term = -term
    return _into_next(graph, node, source, term) or _into_previous(graph, node, source, term)


def _into_next(graph: Editor, node: onnx.NodeProto, source: str, term: Array) -> bool:
    layer = graph.only_user(node.output[0], "Conv", "Gemm")
    if layer is None or layer.input[0] != node.output[0] or not _takes_terms(layer):
        return False
    weight, bias = graph.constant(layer.input[1]), _bias(graph, layer)
    per_feature = along_features(term, layer.op_type, graph.shape(source))
    if weight is None or bias is None or per_feature is None:
        return False
    # In float64: a large offset of the raw sensor values must not cost digits here as well.
    moved = into_weight_inputs(layer, weight.astype(np.float64), per_feature.astype(np.float64))
    if moved is None:
        return False
    outputs = 1 if layer.op_type == "Gemm" and not attribute(layer, "transB", 0) else 0
    others = tuple(axis for axis in range(moved.ndim) if axis != outputs)
    total = (moved.sum(axis=others) + bias).astype(np.float32)
    graph.replace([node, layer], [_with_bias(graph, layer, total, source, layer.output[0])])
    return True


def _into_previous(graph: Editor, node: onnx.NodeProto, source: str, term: Array) -> bool:
    layer = graph.made_by(source, "Gemm")
    if layer is None or graph.only_user(source, *_OPERATORS) is None or not _takes_terms(layer):
        return False
    bias = _bias(graph, layer)
    per_column = along_features(term, "Gemm", graph.shape(source))
    if bias is None or per_column is None:
        return False
    columns = graph.shape(source)
    width = columns[-1] if columns else None
    if not isinstance(width, int):
        return False
    total = np.broadcast_to(bias + per_column, (width,)).astype(np.float32)
    graph.replace([layer, node], [_with_bias(graph, layer, total, layer.input[0], node.output[0])])
    return True


def _takes_terms(layer: onnx.NodeProto) -> bool:
    if layer.op_type == "Conv":
        return not any(attribute(layer, "pads", [0])) and attribute(layer, "auto_pad", b"NOTSET") == b"NOTSET"
    plain = attribute(layer, "alpha", 1.0) == attribute(layer, "beta", 1.0) == 1.0
    return plain and not attribute(layer, "transA", 0)


def _bias(graph: Editor, layer: onnx.NodeProto) -> Array | None:
    """Return the bias as [1] or [outputs], zero where there is none; None where it is no constant or no row."""
    if len(layer.input) < 3 or not layer.input[2]:
        return np.zeros(1, np.float32)
    bias = graph.constant(layer.input[2])
    return bias.reshape(-1) if bias is not None and bias.size == max(bias.shape[-1:], default=1) else None


def _with_bias(graph: Editor, layer: onnx.NodeProto, bias: Array, source: str, output: str) -> onnx.NodeProto:
    new = graph.copy_of(layer)
    del new.input[2:]
    new.input[0] = source
    new.input.append(graph.add_constant(bias, f"{layer.output[0]}/bias"))
    new.output[0] = output
    return new
