"""Dynamic int8: weights as integers, activations rounded while running, with the range of that very batch."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from optimizer.graph import nodes
from optimizer.quantizers import CONVERTER_ERRORS, refused
from optimizer.recipe import Recipe

_OPERATORS = ("MatMul", "Attention")  # a Gemm is rewritten to MatMul and Add first


def apply(data: bytes, recipe: Recipe, ranges: Mapping[str, tuple[float, float]]) -> bytes:
    """Return the model with integer matrix products; `ranges` are not needed.

    Raises:
        BadInput: E-QUANTIZE, onnxruntime's quantizer does not take this graph.
    """
    model = onnx.load_model_from_string(data)
    if not {node.op_type for node in nodes(model.graph)} & {*_OPERATORS, "Gemm"}:
        return data
    add_pre_process_metadata(model)  # else onnxruntime advises to simplify first, which was done
    with tempfile.TemporaryDirectory(prefix="edgeopt-") as folder:
        target = Path(folder) / "dynamic.onnx"
        try:
            quantize_dynamic(
                model,
                target,
                op_types_to_quantize=list(_OPERATORS),
                per_channel=True,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=[name for kept in recipe.keep_float for name in (kept, f"{kept}_MatMul")],
                extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
            )
        except CONVERTER_ERRORS as error:
            raise refused(f"{type(error).__name__}: {error}") from error
        return target.read_bytes()
