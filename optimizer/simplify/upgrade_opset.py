"""Raise the operator set to the first one that knows per-channel QuantizeLinear."""

from __future__ import annotations

import onnx
from onnx import version_converter

from edge_runtime.errors import BadInput
from optimizer.graph import drop_unused_domains, opset_of

PER_CHANNEL_OPSET = 13  # QuantizeLinear and DequantizeLinear got their axis attribute in opset 13


def apply(data: bytes) -> bytes:
    """Return the model at opset 13 or its own, whichever is newer.

    Raises:
        BadInput: E-REWRITE, onnx's converter has no way from this opset.
    """
    model = onnx.load_model_from_string(data)
    if opset_of(model) >= PER_CHANNEL_OPSET:
        return data
    drop_unused_domains(model)
    try:
        return version_converter.convert_version(model, PER_CHANNEL_OPSET).SerializeToString()
    except (version_converter.ConvertError, RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        raise BadInput(
            "E-REWRITE",
            f"opset {opset_of(model)} cannot be raised to {PER_CHANNEL_OPSET}: {str(error).splitlines()[0]}",
            "export the model again with opset 13 or newer",
        ) from error
