"""Channels of zero weight fill the blocks of the kernels: the numbers stay, the unblocked kernels and reorders go.

1. A convolution (one group) whose output channels are no multiple of the block, then any activations and depthwise
   convolutions, then a convolution (one group); each tensor between them is read by the next one only.
2. Zero weights and biases pad the first one's outputs and the depthwise ones to the next multiple of the block.
3. Zero weights for the new input channels of the last one make their contents, whatever they are, not count.

onnxruntime's float kernels work on blocks of 16 channels with AVX-512 and of 8 otherwise.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx

from edge_runtime.inference.engine import Array
from optimizer.simplify.editor import Editor, attribute, is_standard, rewrite
from optimizer.simplify.elementwise import FINITE_AT_ZERO


def to_blocks_of_8(data: bytes) -> bytes:
    """Return the model with channels padded for kernels without AVX-512."""
    return apply(data, 8)


def apply(data: bytes, block: int = 16) -> bytes:
    """Return the model with channels padded to multiples of `block`."""
    return rewrite(data, lambda graph: any(_pad(graph, first, block) for first in graph.find("Conv")))


def _pad(graph: Editor, first: onnx.NodeProto, block: int) -> bool:
    weight = graph.constant(first.input[1])
    channels = 0 if weight is None else weight.shape[0]
    if weight is None or attribute(first, "group", 1) != 1 or channels % block == 0 or channels < block // 2:
        return False
    if any(graph.constant(name) is None for name in first.input[2:]):
        return False
    chain = _chain(graph, first, channels)
    if chain is None:
        return False
    extra = -channels % block
    new = [graph.copy_of(node) for node in chain]
    for node in new[:-1]:
        if node.op_type == "Conv":
            _grow(graph, node, extra)
            if attribute(node, "group", 1) != 1:
                next(entry for entry in node.attribute if entry.name == "group").i = channels + extra
        node.output[0] = graph.new_name(f"{node.output[0]}/padded")
    for before, node in pairwise(new):
        node.input[0] = before.output[0]
    last = graph.constant(chain[-1].input[1])
    if last is None:
        return False
    new[-1].input[1] = graph.add_constant(_zeros_behind(last, 1, extra), f"{chain[-1].input[1]}/padded")
    graph.replace(chain, new)
    return True


def _chain(graph: Editor, first: onnx.NodeProto, channels: int) -> list[onnx.NodeProto] | None:
    """Return the nodes from the first convolution to the last; None where others see what lies between."""
    chain = [first]
    while True:
        node = graph.only_user(chain[-1].output[0], "Conv", *FINITE_AT_ZERO)
        if node is None or node.input[0] != chain[-1].output[0]:
            return None
        chain.append(node)
        if not is_standard(node, {"Conv"}):
            continue
        if any(graph.constant(name) is None for name in node.input[1:]):
            return None
        if attribute(node, "group", 1) == 1:
            return chain
        weight = graph.constant(node.input[1])
        if weight is None or attribute(node, "group", 1) != channels or weight.shape[0] != channels:
            return None


def _grow(graph: Editor, conv: onnx.NodeProto, extra: int) -> None:
    for index, name in enumerate(conv.input[1:], start=1):
        values = graph.constant(name)
        if values is not None:
            conv.input[index] = graph.add_constant(_zeros_behind(values, 0, extra), f"{name}/padded")


def _zeros_behind(values: Array, axis: int, count: int) -> Array:
    return np.pad(values, [(0, count if index == axis else 0) for index in range(values.ndim)])
