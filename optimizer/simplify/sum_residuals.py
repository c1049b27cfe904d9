"""LayerNormalization(a + b): Add becomes Sum, the same mathematics under a name that onnxruntime does not fuse.

1. An Add of two tensors that are no constants, read by a LayerNormalization or by its parts (x - ReduceMean(x)).
2. It becomes Sum.

onnxruntime fuses Add + LayerNormalization to SkipLayerNormalization, whose float CPU kernel took 98 us where Sum and
LayerNormalization took 24 us (32 x 384 values, measured).
"""

from __future__ import annotations

import onnx

from optimizer.simplify.editor import Editor, rewrite


def apply(data: bytes) -> bytes:
    """Return the model with Sum before normalizations."""
    return rewrite(data, _once)


def _once(graph: Editor) -> bool:
    for add in graph.find("Add"):
        variable = all(graph.constant(name) is None for name in add.input)
        same = graph.shape(add.input[0]) is not None and graph.shape(add.input[0]) == graph.shape(add.input[1])
        if variable and same and _is_normalized(graph, add.output[0]):
            graph.replace([add], [graph.node("Sum", add.input, add.output[0])])
            return True
    return False


def _is_normalized(graph: Editor, name: str) -> bool:
    means = {node.output[0] for node in graph.users(name) if node.op_type == "ReduceMean"}
    return any(_normalizes(node, name, means) for node in graph.users(name))


def _normalizes(node: onnx.NodeProto, name: str, means: set[str]) -> bool:
    if node.op_type == "Sub":
        return node.input[0] == name and node.input[1] in means
    return node.op_type == "LayerNormalization" and node.input[0] == name
