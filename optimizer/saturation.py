"""Which int8 layers may compute wrong on x86 without VNNI, told from their weights.

VPMADDUBSW multiplies uint8 activations with int8 weights and adds neighbouring products in 16 signed bits, which
saturate above 32767 (Intel 64 and IA-32 Architectures Software Developer's Manual). onnxruntime's session option
session.x64quantprecision avoids that instruction; Arm and VNNI never saturate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from edge_runtime.inference.engine import Array
from optimizer.graph import WEIGHTED_OPS, output_channel_axis

_LARGEST_CODE = 255
_LARGEST_SUM = 32767


@dataclass(frozen=True)
class Saturating:
    """A layer in which two products can exceed 16 bits.

    Attributes:
        layer: Its node's name.
        channels: Share of its output channels in which that is possible.
        largest: The largest sum of two neighbouring products that uint8 activations can give.
    """

    layer: str
    channels: float
    largest: int


def saturating_layers(model: bytes) -> tuple[Saturating, ...]:
    """Return the layers at risk, an upper bound: activations may never reach the codes that it takes.

    Neighbours are consecutive along the summed axis with the input channel fastest, the order onnxruntime packs in.

    Args:
        model: A model with Q and DQ around its layers.
    """
    graph = onnx.load_model_from_string(model).graph
    constants = {item.name: item for item in graph.initializer}
    restored = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    found = []
    for node in graph.node:
        if node.op_type not in WEIGHTED_OPS or node.input[0] not in restored or node.input[1] not in restored:
            continue
        codes = constants.get(restored[node.input[1]].input[0])
        zero = constants.get(restored[node.input[0]].input[2]) if len(restored[node.input[0]].input) > 2 else None
        if codes is None or codes.data_type != onnx.TensorProto.INT8:
            continue
        if zero is not None and zero.data_type not in {onnx.TensorProto.UINT8, onnx.TensorProto.INT8}:
            continue  # 16-bit activations are multiplied in float
        sums = largest_sums(_rows(node, numpy_helper.to_array(codes)))
        if sums.max(initial=0) > _LARGEST_SUM:
            found.append(Saturating(node.name, float(np.mean(sums > _LARGEST_SUM)), int(sums.max())))
    return tuple(found)


def largest_sums(rows: Array) -> Array:
    """Return, per row of int8 weights, the largest |a0 w0 + a1 w1| over neighbours and activations in 0..255."""
    pairs = np.pad(rows.astype(np.int64), ((0, 0), (0, rows.shape[1] % 2))).reshape(len(rows), -1, 2)
    upward = np.maximum(pairs, 0).sum(axis=2)
    downward = -np.minimum(pairs, 0).sum(axis=2)
    return np.asarray(np.maximum(upward, downward).max(axis=1, initial=0) * _LARGEST_CODE)


def _rows(node: onnx.NodeProto, codes: Array) -> Array:
    """Return the weights as [output channel, summed axis]."""
    rows = np.moveaxis(codes, output_channel_axis(node, codes.ndim), 0)
    if node.op_type in {"Conv", "ConvTranspose"}:
        rows = np.moveaxis(rows, 1, -1)
    return rows.reshape(len(rows), -1)
