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
    wide = {node.output[0]: graph.new_name(f"{node.output[0]}/image") for node in nodes}
    new: list[onnx.NodeProto] = []
    for node in nodes:
        image = graph.copy_of(node)
        rows = _as_rows(graph, node) if node.input[0] not in wide else None
        if rows:
            image.input[1] = rows
            new.append(_reshaped(graph, "Unsqueeze", node.input[0], axis=1))
            image.input[0] = new[-1].output[0]
        else:
            new += _widen_inputs(graph, image, wide)
        _widen_attributes(image, _rows(graph, image) if rows else 1)
        image.output[0] = wide[node.output[0]]
        new.append(image)
    if nodes:
        new += _ends(graph, nodes, wide)
        graph.replace(nodes, new)
    return bool(nodes)


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
    is_signal = len(node.output) == 1 and graph.sizes(node.output[0], 3) is not None
    if not is_signal or attribute(node, "auto_pad", b"NOTSET") != b"NOTSET":
        return False
    if is_standard(node, {"Conv"}):
        return graph.constant(node.input[1]) is not None and graph.sizes(node.input[0], 3) is not None
    variable = [name for name in node.input if name and graph.constant(name) is None]
    if not variable or not inside.issuperset(variable):
        return False
    if is_standard(node, {"Concat"}):
        return attribute(node, "axis") in {1, -2} and len(variable) == len(node.input)
    return is_standard(node, UNARY | BINARY | _PER_CHANNEL | _WINDOWED)


def _as_rows(graph: Editor, node: onnx.NodeProto) -> str | None:
    """Return the name of a first convolution's weight as [O, 1, C, k], None where rule 3 does not concern it."""
    weight = graph.constant(node.input[1]) if node.op_type == "Conv" else None
    if weight is None or attribute(node, "group", 1) != 1 or weight.shape[1] % _BLOCK == 0:
        return None
    return graph.add_constant(weight[:, None], f"{node.input[1]}/rows")


def _rows(graph: Editor, image: onnx.NodeProto) -> int:
    weight = graph.constant(image.input[1])
    return 1 if weight is None else int(weight.shape[2])


def _widen_inputs(graph: Editor, image: onnx.NodeProto, wide: dict[str, str]) -> list[onnx.NodeProto]:
    """Give a node its inputs with one row; return the nodes that this takes."""
    new = []
    for index, name in enumerate(image.input):
        value = graph.constant(name)
        is_weight = image.op_type == "Conv" and index == 1
        if name in wide:
            image.input[index] = wide[name]
        elif value is not None and (is_weight or (image.op_type in BINARY and value.ndim > 1)):
            image.input[index] = graph.add_constant(np.expand_dims(value, -2), f"{name}/image")
        elif value is None and index == 0:
            new.append(_reshaped(graph, "Unsqueeze", name, axis=2))
            image.input[index] = new[0].output[0]
    return new


def _widen_attributes(image: onnx.NodeProto, rows: int) -> None:
    for entry in image.attribute:
        values = list(entry.ints)
        if entry.name in _PER_AXIS:
            values = [rows if entry.name == "kernel_shape" else 1, *values]
        elif entry.name == "pads":
            values = [0, values[0], 0, values[1]]
        elif image.op_type == "Concat" and entry.name == "axis":
            entry.i = 1
        del entry.ints[:]
        entry.ints.extend(values)


def _ends(graph: Editor, nodes: list[onnx.NodeProto], wide: dict[str, str]) -> list[onnx.NodeProto]:
    """Let outer readers see signals: Flatten reads the image itself, all others a Squeeze."""
    new = []
    for node in nodes:
        name = node.output[0]
        readers = [user for user in graph.users(name) if not any(user is inner for inner in nodes)]
        for reader in readers:
            if is_standard(reader, {"Flatten"}) and attribute(reader, "axis", 1) == 1:
                reader.input[0] = wide[name]
        if name in graph.fixed or any(name in reader.input for reader in readers):
            new.append(_reshaped(graph, "Squeeze", wide[name], axis=2, output=name))
    return new


def _reshaped(graph: Editor, operator: str, name: str, axis: int, output: str = "") -> onnx.NodeProto:
    return graph.node(operator, [name, graph.add_constant(np.array([axis], np.int64), "axis")], output)
