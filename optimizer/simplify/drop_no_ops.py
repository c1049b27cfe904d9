"""Drop what changes nothing and onnxruntime's basic level keeps (tests hold what that does).

1. Pad of zero width, Slice of everything, Expand to ones or to the size that is there, Concat of one tensor.
2. Reshape, Flatten, Squeeze and Unsqueeze in a chain that ends with the shape it began with: gone.
3. Such a chain that ends with a Reshape whose target copies no size (no 0): that Reshape alone.
4. Nodes and initializers that no output needs.
"""

from __future__ import annotations

import numpy as np
import onnx

from edge_runtime.inference.engine import Array
from optimizer.simplify.editor import Editor, attribute, rewrite

_VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
_TO_THE_END = np.iinfo(np.int32).max  # ends at least this large mean "all" in ONNX


def apply(data: bytes) -> bytes:
    """Return the model without them."""
    data = rewrite(data, _once)
    graph = Editor(data)
    counts = len(graph.graph.node), len(graph.graph.initializer)
    result = graph.result()
    return data if counts == (len(graph.graph.node), len(graph.graph.initializer)) else result


def _once(graph: Editor) -> bool:
    for node in graph.find("Pad", "Slice", "Expand", "Concat"):
        if node.output[0] not in graph.fixed and _changes_nothing(graph, node):
            graph.bypass(node, node.input[0])
            return True
    return any(_shorten(graph, node) for node in graph.find(*_VIEWS))


def _changes_nothing(graph: Editor, node: onnx.NodeProto) -> bool:
    values = [graph.constant(name) for name in node.input[1:] if name]
    if node.op_type == "Concat":
        return len(node.input) == 1
    if not values or values[0] is None:
        return False
    if node.op_type == "Pad":
        return not values[0].any()
    if node.op_type == "Slice":
        return _takes_all(values)
    shape, target = graph.shape(node.input[0]), values[0].tolist()
    if shape is None or len(target) > len(shape):
        return False
    ends = zip(reversed(target), reversed(shape), strict=False)
    return all(wanted in {1, size} for wanted, size in ends)


def _takes_all(values: list[Array | None]) -> bool:
    """Tell whether a Slice's constant starts, ends, axes and steps leave everything in place."""
    known = [value for value in values if value is not None]
    if len(known) != len(values) or known[0].any() or (known[1] < _TO_THE_END).any():
        return False
    return len(known) < 4 or bool((known[3] == 1).all())


def _shorten(graph: Editor, last: onnx.NodeProto) -> bool:
    before = graph.made_by(last.input[0], *_VIEWS)
    if before is None:
        return False
    first = before
    while (earlier := graph.made_by(first.input[0], *_VIEWS)) is not None:
        first = earlier
    source, shape = first.input[0], graph.shape(first.input[0])
    if shape and None not in shape and shape == graph.shape(last.output[0]) and last.output[0] not in graph.fixed:
        graph.bypass(last, source)
        return True
    target = graph.constant(last.input[1]) if last.op_type == "Reshape" else None
    if target is None or 0 in target or attribute(last, "allowzero", 0):
        return False
    new = graph.copy_of(last)
    new.input[0] = source
    graph.replace([last], [new])
    return True
