"""Sizes that do not depend on what is open become constants, so that padding and reshaping chains fold.

1. Gather or Slice of Shape(x) at places that are known from the model alone: the sizes, as a constant.
2. What is computed of small constants only: its value. Rules 1 and 2 repeat, as known padding makes more sizes known.
3. Reshape(y, Concat(Shape(x)[0], constants)), x and y sharing an open first dimension: Reshape(y, [0, constants]).

With an open batch onnxruntime folds none of these: for it Shape is one value, and the batch in it is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from edge_runtime.inference.engine import Array
from optimizer.simplify.editor import Editor, attribute, rewrite

_MOST_ELEMENTS = 64  # a shape, pads, slices; larger constants are onnxruntime's to fold
_FOLDED = frozenset(
    {"Add", "Cast", "Ceil", "Concat", "Div", "Equal", "Floor", "Gather", "Max", "Min", "Mul", "Neg", "Not"}
    | {"Range", "Reshape", "Shape", "Slice", "Squeeze", "Sub", "Transpose", "Unsqueeze", "Where", "ConstantOfShape"}
)


def apply(data: bytes) -> bytes:
    """Return the model with every size that is known as a constant."""
    return rewrite(data, _once)


def _once(graph: Editor) -> bool:
    graph.forget_shapes()  # what was settled in the round before makes more sizes known
    settled: dict[str, Array] = {}
    gone = []
    for node in graph.graph.node:
        value = _value(graph, node, settled)
        if value is not None and value.size <= _MOST_ELEMENTS and node.output[0] not in graph.fixed:
            settled[node.output[0]] = value
            gone.append(node)
    if not gone:
        return any(_copy_batch(graph, node) for node in graph.find("Reshape"))
    for name, value in settled.items():
        graph.graph.initializer.append(numpy_helper.from_array(value, name))
    left = [node for node in graph.graph.node if not any(node is dead for dead in gone)]
    graph.put(left)
    return True


def _value(graph: Editor, node: onnx.NodeProto, settled: dict[str, Array]) -> Array | None:
    if node.domain not in {"", "ai.onnx"} or len(node.output) != 1 or node.op_type not in _FOLDED:
        return None
    known = {name: _known(graph, name, settled) for name in node.input if name}
    if node.op_type == "Shape":
        return _whole_shape(graph, node)
    shape = graph.made_by(node.input[0], "Shape") if node.op_type in {"Gather", "Slice"} else None
    if shape is not None and node.input[0] not in settled:
        return _taken(graph, node, shape, known)
    if not known or any(value is None or value.size > _MOST_ELEMENTS for value in known.values()):
        return None
    return _computed(graph, node, {name: value for name, value in known.items() if value is not None})


def _known(graph: Editor, name: str, settled: dict[str, Array]) -> Array | None:
    return settled[name] if name in settled else graph.constant(name)


def _whole_shape(graph: Editor, node: onnx.NodeProto) -> Array | None:
    sizes = _sizes(graph, node)
    known = [size for size in sizes if isinstance(size, int)]
    return np.array(known, np.int64) if sizes and len(known) == len(sizes) else None


def _sizes(graph: Editor, shape: onnx.NodeProto) -> list[int | str | None]:
    sizes = list(graph.shape(shape.input[0]) or ())
    return sizes[attribute(shape, "start", 0) : attribute(shape, "end", len(sizes))]


def _taken(graph: Editor, node: onnx.NodeProto, shape: onnx.NodeProto, known: dict[str, Array | None]) -> Array | None:
    """Take known sizes out of a shape that is not known as a whole: which places are taken does not depend on it."""
    sizes = _sizes(graph, shape)
    places = {name: value for name, value in known.items() if value is not None}
    if not sizes or len(places) < len(known) - 1:
        return None
    index: Array = np.arange(len(sizes))
    where = _computed(graph, node, {**places, node.input[0]: index})
    taken = [sizes[place] for place in where.reshape(-1)] if where is not None else [None]
    if where is None or not all(isinstance(size, int) for size in taken):
        return None
    return np.array(taken, np.int64).reshape(where.shape)


def _computed(graph: Editor, node: onnx.NodeProto, values: Mapping[str, Array]) -> Array | None:
    if node.op_type == "Div" and any(np.issubdtype(v.dtype, np.integer) and (v < 0).any() for v in values.values()):
        return None  # onnxruntime rounds to zero, onnx's reference down
    alone = onnx.helper.make_graph(
        [node],
        "one node",
        [
            onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
            for n, v in values.items()
        ],
        [onnx.ValueInfoProto(name=node.output[0])],
    )
    model = onnx.helper.make_model(alone, opset_imports=graph.model.opset_import, ir_version=graph.model.ir_version)
    try:
        found = ReferenceEvaluator(model).run(None, dict(values))
        return np.asarray(found[0]) if isinstance(found, list) else None
    except (TypeError, ValueError, IndexError, RuntimeError, NotImplementedError):
        return None  # onnx's reference does not know this form: it stays as it is


def _copy_batch(graph: Editor, reshape: onnx.NodeProto) -> bool:
    """Apply rule 3."""
    target = graph.made_by(reshape.input[1], "Concat")
    source = graph.shape(reshape.input[0])
    if target is None or not source or attribute(reshape, "allowzero", 0):
        return False
    rest = [graph.constant(name) for name in target.input[1:]]
    numbers = [int(number) for value in rest if value is not None for number in value.reshape(-1)]
    if any(value is None for value in rest) or 0 in numbers or _batch_of(graph, target.input[0]) != source[0]:
        return False
    if source[0] is None:
        return False
    new = graph.copy_of(reshape)
    new.input[1] = graph.add_constant(np.array([0, *numbers], np.int64), "shape_of_batch")
    graph.replace([reshape], [new])
    return True


def _batch_of(graph: Editor, name: str) -> int | str | None:
    """Return the size or symbol that a one-element tensor takes from a Shape, None where it holds another thing."""
    node = graph.made_by(name, "Unsqueeze", "Slice", "Gather")
    if node is not None and node.op_type == "Unsqueeze":
        node = graph.made_by(node.input[0], "Gather")
    shape = graph.made_by(node.input[0], "Shape") if node is not None else None
    if node is None or shape is None:
        return None
    index: Array = np.arange(len(_sizes(graph, shape)))
    constants: dict[str, Array] = {n: value for n in node.input[1:] if (value := graph.constant(n)) is not None}
    constants[node.input[0]] = index
    place = _computed(graph, node, constants)
    return _sizes(graph, shape)[int(place.reshape(-1)[0])] if place is not None and place.size == 1 else None
