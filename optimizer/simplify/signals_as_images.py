"""1-D convolutions become 2-D ones over images of one row: the fast blocked kernels exist for images only.

1. A region of 1-D convolutions and what follows them (pools, elementwise operators, Concat along the channels).
2. [N, C, L] becomes [N, C, 1, L], kernels become 1 x k; an Unsqueeze where the region begins, a Squeeze where it ends,
   none before Flatten, which does not mind.
3. A first convolution whose channels are no multiple of 8, in one group, reads [N, 1, C, L] with a kernel of C x k
   instead: weight'[o, 0, c, j] = weight[o, c, j].
"""

from __future__ import annotations

import numpy as np
import onnx

from optimizer.simplify.editor import Editor, attribute, is_standard, rewrite
from optimizer.simplify.elementwise import BINARY, UNARY

_WINDOWED = frozenset({"Conv", "MaxPool", "AveragePool"})
_PER_CHANNEL = frozenset({"GlobalAveragePool", "GlobalMaxPool", "BatchNormalization"})
_PER_AXIS = ("kernel_shape", "strides", "dilations")
_BLOCK = 8


def apply(data: bytes) -> bytes:
    """Return the model with signals as images."""
    return rewrite(data, _once)


def _once(graph: Editor) -> bool:
    nodes = _region(graph)
    if not nodes:
        return False
    new: list[onnx.NodeProto] = []
    wide = {node.output[0]: graph.new_name(f"{node.output[0]}/image") for node in nodes}
    for node in nodes:
        image = graph.copy_of(node)
        image.output[0] = wide[node.output[0]]
        rows = _as_rows(graph, node) if node.input[0] not in wide else None
        if rows:
            new.append(_unsqueezed(graph, node.input[0], axis=1))
            image.input[0], image.input[1] = new[-1].output[0], rows
        else:
            _widen_inputs(graph, image, wide, new)
        _widen_attributes(image, len(graph.shape(node.input[1]) or ()) and rows is not None, graph)
        new.append(image)
    new += _ends(graph, nodes, wide)
    graph.replace(nodes, new)
    return True


def _region(graph: Editor) -> list[onnx.NodeProto]:
    """Return the nodes in the graph's order: convolutions, and what reads only convolutions' results and constants."""
    nodes: list[onnx.NodeProto] = []
    inside: set[str] = set()
    for node in graph.graph.node:
        if _fits(graph, node, inside):
            nodes.append(node)
            inside.add(node.output[0])
    return nodes


def _fits(graph: Editor, node: onnx.NodeProto, inside: set[str]) -> bool:
    if len(node.output) != 1 or graph.sizes(node.output[0], 3) is None:
        return False
    if attribute(node, "auto_pad", b"NOTSET") != b"NOTSET":
        return False
    if is_standard(node, {"Conv"}):
        return graph.constant(node.input[1]) is not None and graph.sizes(node.input[0], 3) is not None
    if is_standard(node, UNARY | _PER_CHANNEL | _WINDOWED):
        return node.input[0] in inside
    if is_standard(node, {"Concat"}):
        return attribute(node, "axis") in {1, -2} and all(name in inside for name in node.input)
    if is_standard(node, BINARY):
        constants = [value for name in node.input if (value := graph.constant(name)) is not None]
        known = all(name in inside or graph.constant(name) is not None for name in node.input)
        return known and any(name in inside for name in node.input) and all(value.ndim <= 3 for value in constants)
    return False


def _as_rows(graph: Editor, node: onnx.NodeProto) -> str | None:
    """Return the name of a first convolution's weight as [O, 1, C, k], None where rule 3 does not concern it."""
    weight = graph.constant(node.input[1]) if node.op_type == "Conv" else None
    if weight is None or attribute(node, "group", 1) != 1 or weight.shape[1] % _BLOCK == 0:
        return None
    return graph.add_constant(weight[:, None], f"{node.input[1]}/rows")
