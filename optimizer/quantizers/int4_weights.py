"""Weights of matrix products in 4 bits, blocks of 32 sharing a scale, multiplied by onnxruntime's MatMulNBits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edge_runtime.inference.engine import Array
from optimizer.graph import float_weights
from optimizer.recipe import Recipe

_BLOCK = 32  # weights along the summed axis that share a scale
_SMALLEST_WEIGHT = 4096  # elements; below, nothing worth a node of its own is saved
_CONTRIB = "com.microsoft"
_ACCURACY_LEVEL = 4  # activations are rounded to int8 for the product, the fastest of onnxruntime's kernels


def apply(data: bytes, recipe: Recipe, ranges: Mapping[str, tuple[float, float]]) -> bytes:
    """Return the model with each large matrix in 4 bits; the data themselves where none is large."""
    model = onnx.load_model_from_string(data)
    constants = {item.name: item for item in model.graph.initializer}
    changed = False
    for name in float_weights(model.graph):
        users = [n for n in model.graph.node if n.op_type == "MatMul" and n.input[1] == name and n.input[0] != name]
        users = [node for node in users if node.name not in recipe.keep_float]
        if name not in constants or not users:
            continue
        weight = numpy_helper.to_array(constants[name])
        if weight.ndim != 2 or weight.size < _SMALLEST_WEIGHT:
            continue
        codes, scales = pack(weight)
        parts = {f"{name}_blocks": codes, f"{name}_block_scales": scales}
        model.graph.initializer.extend(numpy_helper.from_array(array, part) for part, array in parts.items())
        for node in users:
            node.CopyFrom(_product(node, list(parts), weight.shape))
        changed = True
        if not any(name in node.input for node in model.graph.node):
            model.graph.initializer.remove(constants[name])
    if not changed:
        return data
    if all(entry.domain != _CONTRIB for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid(_CONTRIB, 1))
    return model.SerializeToString()


def pack(weight: Array) -> tuple[Array, Array]:
    """Return uint8 blocks [N, ceil(K / 32), 16], two codes a byte, and float32 scales [N, ceil(K / 32)].

    The value is scale * (code - 8): the weight of largest magnitude in a block gets code 0, the end that reaches one
    step further, as in llama.cpp's Q4_0.

    Args:
        weight: float32 [K, N].
    """
    inner, outer = weight.shape
    blocks = -(-inner // _BLOCK)
    padded = np.zeros((outer, blocks * _BLOCK), np.float32)
    padded[:, :inner] = weight.T
    grouped = padded.reshape(outer, blocks, _BLOCK)
    largest = np.take_along_axis(grouped, np.abs(grouped).argmax(axis=2)[..., None], axis=2)
    scales = largest / -8
    steps = np.where(scales == 0, 1, scales)
    codes = np.clip(np.rint(grouped / steps) + 8, 0, 15).astype(np.uint8)
    return codes[..., 0::2] | codes[..., 1::2] << 4, scales[..., 0].astype(np.float32)


def _product(node: onnx.NodeProto, parts: list[str], shape: tuple[int, ...]) -> onnx.NodeProto:
    return helper.make_node(
        "MatMulNBits",
        [node.input[0], *parts],
        list(node.output),
        node.name,
        domain=_CONTRIB,
        K=shape[0],
        N=shape[1],
        bits=4,
        block_size=_BLOCK,
        accuracy_level=_ACCURACY_LEVEL,
    )
