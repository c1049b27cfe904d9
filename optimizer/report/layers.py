"""Which precision each weighted layer of the chosen form has, and why, read from the model itself."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import TensorProto

from optimizer.audit import Audit
from optimizer.graph import WEIGHTED_OPS
from optimizer.report.evidence import Evidence
from optimizer.report.record import Layer, Precision

_INTEGER_OPS = {"ConvInteger": "Conv", "MatMulInteger": "MatMul"}
_WIDE = frozenset({TensorProto.INT16, TensorProto.UINT16})


def layers_of(data: bytes, executed: Audit, known: Evidence) -> tuple[Layer, ...]:
    """Return the layers with constant weights in the order they run.

    Args:
        data: The chosen model.
        executed: How the runtime executes it.
        known: What was found out about layers, by name.
    """
    graph = onnx.load_model_from_string(data).graph
    constants = {item.name: item.data_type for item in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            constants.update((node.output[0], attribute.t.data_type) for attribute in node.attribute)
    restored = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    fell_back = {fallen.layer: fallen.reason for fallen in executed.fell_back}
    quantized = bool(restored) or any(node.op_type in _INTEGER_OPS for node in graph.node)
    layers = []
    for node in graph.node:
        found = _precision(node, constants, restored)
        if found is None:
            continue
        # onnxruntime's dynamic quantizer appends to the name.
        name = node.name.removesuffix("_quant") if node.op_type in _INTEGER_OPS else node.name
        precision, reason = found
        if node.name in fell_back:
            precision, reason = "float32", f"quantized in the file, runs in float32: {fell_back[node.name]}"
        elif not reason:
            reason = "kept in float32 in this form" if quantized else "the whole form is float32"
        low, high = known.inputs.get(name, (None, None))
        layers.append(
            Layer(
                name=name,
                operator=_INTEGER_OPS.get(node.op_type, node.op_type),
                precision=precision,
                reason=known.reasons.get(name, reason),
                loss=known.losses.get(name),
                milliseconds=known.gains.get(name),
                outlier_ratio=known.outliers.get(name),
                low=low,
                high=high,
            )
        )
    return tuple(layers)


def _precision(
    node: onnx.NodeProto, constants: Mapping[str, int], restored: Mapping[str, onnx.NodeProto]
) -> tuple[Precision, str] | None:
    """Return precision and reason (empty: float32 as it was), None for what is no layer with constant weights."""
    if node.op_type in _INTEGER_OPS:
        return "int8", "its input is quantized while running, its weights are int8"
    if node.op_type not in WEIGHTED_OPS or len(node.input) < 2:
        return None
    activation, weight = node.input[0], node.input[1]
    if weight in restored and restored[weight].input[0] in constants:
        return _restored(restored.get(activation), constants)
    if weight not in constants:
        return None
    return ("float16", "its weights are float16") if constants[weight] == TensorProto.FLOAT16 else ("float32", "")


def _restored(activation: onnx.NodeProto | None, constants: Mapping[str, int]) -> tuple[Precision, str]:
    """Return precision and reason of a layer with integer weights whose input that node restores, None for none."""
    if activation is None:
        return "float32", "int8 weights, restored to float32 when the model is loaded"
    zero = activation.input[2] if len(activation.input) > 2 else ""
    if constants.get(zero) in _WIDE:
        return "int16", "its input takes 16 bits, its weights are int8"
    return "int8", "input and weights are quantized"
