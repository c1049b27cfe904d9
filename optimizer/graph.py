"""Small questions about an ONNX graph that several steps ask."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from edge_runtime.inference.engine import Array

WEIGHTED_OPS = ("Conv", "ConvTranspose", "Gemm", "MatMul")  # where multiplications are, and so where int8 can pay


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of the default operator set, 1 where the model imports none."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 1)


def drop_unused_domains(model: onnx.ModelProto) -> None:
    """Remove imports of operator sets that no node uses, in place; converters stumble over them."""
    used = {node.domain for node in nodes(model.graph)} | {""}
    used |= {node.domain for function in model.functions for node in function.node}
    used |= {function.domain for function in model.functions}
    kept = [entry for entry in model.opset_import if entry.domain in used or entry.domain == "ai.onnx"]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield every node, those in control-flow bodies included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                yield from nodes(body)


def float_weights(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """Return constant float32 weights of top-level multiplying operators: tensor name -> its first user."""
    constants = {item.name for item in graph.initializer if item.data_type == onnx.TensorProto.FLOAT}
    constants |= {node.output[0] for node in graph.node if node.op_type == "Constant" and _is_float_tensor(node)}
    weights: dict[str, onnx.NodeProto] = {}
    for node in graph.node:
        if node.op_type in WEIGHTED_OPS and len(node.input) > 1 and node.input[1] in constants:
            weights.setdefault(node.input[1], node)
    return weights


def _is_float_tensor(constant: onnx.NodeProto) -> bool:
    return any(attribute.t.data_type == onnx.TensorProto.FLOAT for attribute in constant.attribute)


def output_channel_axis(node: onnx.NodeProto, dimensions: int) -> int:
    """Return the weight axis along which each slice makes one output channel."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "ConvTranspose":
        return 1
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 0 if node.op_type == "Gemm" and transposed else dimensions - 1


def quantize_symmetric(weight: Array, axis: int) -> tuple[Array, Array]:
    """Return int8 codes in [-127, 127] and float32 scales, one per slice along `axis`; the zero point is 0."""
    others = tuple(index for index in range(weight.ndim) if index != axis)
    scales = np.maximum(np.abs(weight).max(axis=others, keepdims=True) / 127, np.finfo(np.float32).tiny)
    codes = np.clip(np.rint(weight / scales), -127, 127).astype(np.int8)
    return codes, scales.reshape(-1).astype(np.float32)
