"""Weights stored as int8 codes and restored to float32 when the model is loaded."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import helper, numpy_helper

from optimizer.graph import float_weights, opset_of, output_channel_axis, quantize_symmetric
from optimizer.quantizers import refused
from optimizer.recipe import Recipe
from optimizer.simplify.upgrade_opset import PER_CHANNEL_OPSET

_SMALLEST_WEIGHT = 256  # elements; below, scales and zero points would outweigh what int8 saves


def apply(data: bytes, recipe: Recipe, ranges: Mapping[str, tuple[float, float]]) -> bytes:
    """Return the model with each large weight behind a DequantizeLinear; the data themselves where none is large.

    Raises:
        BadInput: E-QUANTIZE, the operator set knows no scale per channel.
    """
    model = onnx.load_model_from_string(data)
    if opset_of(model) < PER_CHANNEL_OPSET:
        raise refused(f"opset {opset_of(model)} has no scales per channel", "export with opset 13 or newer")
    constants = {item.name: item for item in model.graph.initializer}
    restored = []
    for name, node in float_weights(model.graph).items():
        if name not in constants or node.name in recipe.keep_float:
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
    return model.SerializeToString() if restored else data
