"""(model, scheme, ranges) -> quantized model."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationMethod, QuantType, quantize_dynamic
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from optimizer.graph import float_weights, opset_of, output_channel_axis, quantize_symmetric
from optimizer.schemes import Int8Dynamic, Int8Static, Scheme
from optimizer.simplify.upgrade_opset import PER_CHANNEL_OPSET

# The multiplying operators, and those that only move, pool or add between them. Everything else stays float:
# normalisation of raw sensors, softmax and detector tails lose the most and gain the least.
_STATIC_OPS = (
    *("Conv", "ConvTranspose", "Gemm", "MatMul"),
    *("Add", "Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat"),
    *("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Pad", "Resize", "Split", "Slice"),
)
_SMALLEST_WEIGHT = 256  # elements; below, scales and zero points would outweigh what int8 saves


def tensors_to_observe(data: bytes) -> list[str]:
    """Return the float tensors whose ranges static quantization needs, in a fixed order."""
    model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(data))
    constants = {item.name for item in model.graph.initializer}
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    floats = {value.name for value in values if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    touched = {name for node in model.graph.node if node.op_type in _STATIC_OPS for name in (*node.input, *node.output)}
    return sorted((touched & floats) - constants)


def quantize(
    data: bytes, scheme: Scheme, ranges: Mapping[str, tuple[float, float]], keep_float: Sequence[str]
) -> bytes:
    """Return the model in the form `scheme` names.

    Args:
        data: The float32 model, simplified.
        scheme: The form.
        ranges: Tensor name -> (low, high) from calibration; only static quantization reads it.
        keep_float: Names of nodes that stay float.
    """
    if isinstance(scheme, Int8Static):
        return _static(data, ranges, keep_float)
    if isinstance(scheme, Int8Dynamic):
        return _dynamic(data, keep_float)
    return _weights(data, keep_float)


def _static(data: bytes, ranges: Mapping[str, tuple[float, float]], keep_float: Sequence[str]) -> bytes:
    model = onnx.load_model_from_string(data)
    tensors = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
    quantizer = QDQQuantizer(
        model,
        per_channel=opset_of(model) >= PER_CHANNEL_OPSET,
        reduce_range=False,  # Arm and VNNI do not need it; plain AVX2 gets session.x64quantprecision instead
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, tensors),
        nodes_to_quantize=[],
        nodes_to_exclude=list(keep_float),
        op_types_to_quantize=list(_STATIC_OPS),
        extra_options={},
    )
    quantizer.quantize_model()
    return bytes(quantizer.model.model.SerializeToString())


def _dynamic(data: bytes, keep_float: Sequence[str]) -> bytes:
    model = onnx.load_model_from_string(data)
    add_pre_process_metadata(model)  # else onnxruntime advises to simplify first, which was done
    with tempfile.TemporaryDirectory(prefix="edgeopt-") as folder:
        target = Path(folder) / "dynamic.onnx"
        quantize_dynamic(
            model,
            target,
            op_types_to_quantize=["MatMul"],  # Gemm is first rewritten to MatMul + Add
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(keep_float),
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
        return target.read_bytes()


def _weights(data: bytes, keep_float: Sequence[str]) -> bytes:
    """Store each large weight as int8 codes behind a DequantizeLinear."""
    model = onnx.load_model_from_string(data)
    constants = {item.name: item for item in model.graph.initializer}
    restored = []
    for name, node in float_weights(model.graph).items():
        if name not in constants or node.name in keep_float:
            continue
        weight = numpy_helper.to_array(constants[name])
        if weight.size < _SMALLEST_WEIGHT:
            continue
        axis = output_channel_axis(node, weight.ndim)
        codes, scales = quantize_symmetric(weight, axis)
        parts = {f"{name}_codes": codes, f"{name}_scales": scales}
        model.graph.initializer.remove(constants[name])
        model.graph.initializer.extend(numpy_helper.from_array(array, part) for part, array in parts.items())
        restored.append(helper.make_node("DequantizeLinear", list(parts), [name], name=f"{name}_restored", axis=axis))
    for node in reversed(restored):
        model.graph.node.insert(0, node)
    return model.SerializeToString()
