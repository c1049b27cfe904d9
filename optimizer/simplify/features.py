"""Constants that act per feature: which axis of an input is its features, and where a weight meets them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from edge_runtime.inference.engine import Array
from optimizer.simplify.editor import attribute


def along_features(constant: Array, operator: str, shape: Sequence[int | str | None] | None) -> Array | None:
    """Return a constant operand as [1] or [features] values; None where it varies along another axis.

    Args:
        constant: The operand of a broadcast operation with the input.
        operator: Conv has its features on axis 1, Gemm and MatMul on the last one.
        shape: The input's shape; its rank and features must be known.
    """
    if shape is None or constant.ndim > len(shape):
        return None
    axis = 1 if operator == "Conv" else len(shape) - 1
    features = shape[axis]
    full = constant.reshape((1,) * (len(shape) - constant.ndim) + constant.shape)
    # A constant that broadcasts the input to a larger shape is no constant per feature.
    if not isinstance(features, int) or full.size != full.shape[axis] or full.size not in {1, features}:
        return None
    return full.reshape(-1)


def into_weight_inputs(layer: onnx.NodeProto, weight: Array, factors: Array) -> Array | None:
    """Return the weight times factors [1] or [input features] along its input axis, None where it has none such."""
    if layer.op_type == "Conv":
        group = attribute(layer, "group", 1)
        per_group = weight.shape[1]
        if factors.size > 1 and factors.size != group * per_group:
            return None
        by_group = np.broadcast_to(factors, (group * per_group,)).reshape(group, per_group)
        by_output: Array = np.repeat(by_group, weight.shape[0] // group, axis=0)
        return weight * by_output.reshape(*by_output.shape, *(1,) * (weight.ndim - 2))
    if weight.ndim != 2:
        return None
    transposed = layer.op_type == "Gemm" and attribute(layer, "transB", 0)
    by_columns: Array = factors if transposed else factors[:, None]
    return weight * by_columns
