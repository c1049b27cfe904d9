"""Conv1x1(Concat(a, b)) = Conv1x1_a(a) + Conv1x1_b(b): the joined tensor is never written.

1. Concat along the channels, read by 1x1 convolutions only (stride 1, no padding, one group).
2. Each becomes a sum of 1x1 convolutions with its weight's slices; the bias goes to the first.

onnxruntime fuses the Adds into its blocked convolutions, which would reorder what Concat joins.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx

from edge_runtime.inference.engine import Array
from optimizer.simplify.editor import Editor, attribute, rewrite
from optimizer.simplify.window import Window


def apply(data: bytes) -> bytes:
    """Return the model with 1x1 convolutions over Concats split."""
    return rewrite(data, _once)


def _once(graph: Editor) -> bool:
    for concat in graph.find("Concat"):
        sizes = [graph.sizes(name, 4) for name in concat.input]
        users = graph.users(concat.output[0])
        is_seen = concat.output[0] in graph.fixed or not users
        if attribute(concat, "axis") != 1 or None in sizes or is_seen or len(concat.input) < 2:
            continue
        channels = [size[0] for size in sizes if size is not None]
        weights = [w for node in users if (w := _weight(graph, node, concat.output[0])) is not None]
        if len(weights) == len(users) and all(weight.shape[1] == sum(channels) for weight in weights):
            edges = [0, *np.cumsum(channels).tolist()]
            new = [n for user, weight in zip(users, weights, strict=True) for n in _sum(graph, user, weight, edges)]
            graph.replace([concat, *users], new)
            return True
    return False


def _weight(graph: Editor, node: onnx.NodeProto, joined: str) -> Array | None:
    window = Window.of(node, 2) if node.op_type == "Conv" and node.input[0] == joined else None
    if window is None or not window.is_pointwise:
        return None
    return graph.constant(node.input[1])


def _sum(graph: Editor, conv: onnx.NodeProto, weight: Array, edges: list[int]) -> list[onnx.NodeProto]:
    joined = graph.producer[conv.input[0]].input
    new: list[onnx.NodeProto] = []
    total = ""
    for index, (start, end) in enumerate(pairwise(edges)):
        part = graph.add_constant(weight[:, start:end], f"{conv.input[1]}/part")
        bias = list(conv.input[2:]) if index == 0 else []
        new.append(graph.node("Conv", [joined[index], part, *bias], kernel_shape=[1, 1]))
        if total:
            last = conv.output[0] if index == len(joined) - 1 else ""
            new.append(graph.node("Add", [total, new[-1].output[0]], last))
        total = new[-1].output[0]
    return new
