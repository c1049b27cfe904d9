"""What rewrites need to know about a graph and do to it: who makes a tensor, who uses it, what is constant."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array
from optimizer.graph import nodes

_LARGE_WEIGHT = 1 << 10  # elements; a larger initializer is no shape, so shape inference need not see its values
_MOST_EDITS = 10_000  # a rewrite that feeds itself must end


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Return an attribute's value, `default` where the node does not have it."""
    found = next((entry for entry in node.attribute if entry.name == name), None)
    return default if found is None else helper.get_attribute_value(found)


def is_standard(node: onnx.NodeProto, operators: Collection[str]) -> bool:
    """Tell whether a node is one of these operators of ONNX's own domain."""
    return node.op_type in operators and node.domain in {"", "ai.onnx"}


def rewrite(data: bytes, once: Callable[[Editor], bool]) -> bytes:
    """Call `once` until it finds nothing more to change; the same bytes come back where it changed nothing."""
    editor = Editor(data)
    for _ in range(_MOST_EDITS):
        if not once(editor):
            break
    return editor.result() if editor.edits else data


class Editor:
    """A model's top-level graph, indexed; edits keep the index right and the nodes in topological order."""

    def __init__(self, data: bytes) -> None:
        self.model = onnx.load_model_from_string(data)
        self.graph = self.model.graph
        self.edits = 0
        self._shapes: dict[str, tuple[int | str | None, ...] | None] = {}
        self._index()

    def _index(self) -> None:
        self.producer = {name: node for node in self.graph.node for name in node.output if name}
        self._users: dict[str, list[onnx.NodeProto]] = {}
        for node in self.graph.node:
            for name in set(node.input):
                self._users.setdefault(name, []).append(node)
        self._constants = {item.name: item for item in self.graph.initializer}
        # What a control-flow body reads or gives out unseen from here stays as it is.
        inner = (node for top in self.graph.node for body in _bodies(top) for node in nodes(body))
        self.fixed = {item.name for item in self.graph.output} | {name for node in inner for name in node.input}
        self._taken = {*self.producer, *self._constants, *(item.name for item in self.graph.input)}
        self._taken |= {node.name for node in self.graph.node}

    def find(self, *operators: str) -> list[onnx.NodeProto]:
        """Return the nodes of these operators, in the graph's order."""
        return [node for node in self.graph.node if is_standard(node, operators)]

    def made_by(self, name: str, *operators: str) -> onnx.NodeProto | None:
        """Return the node that makes the tensor where it is one of these operators."""
        node = self.producer.get(name)
        return node if node is not None and is_standard(node, operators) else None

    def users(self, name: str) -> list[onnx.NodeProto]:
        """Return the top-level nodes that read the tensor."""
        return self._users.get(name, [])

    def only_user(self, name: str, *operators: str) -> onnx.NodeProto | None:
        """Return the one node that reads the tensor, where it is one of these operators and nobody else sees it."""
        users = self.users(name)
        if len(users) != 1 or name in self.fixed or not is_standard(users[0], operators):
            return None
        return users[0] if list(users[0].input).count(name) == 1 else None

    def constant(self, name: str) -> Array | None:
        """Return the value of an initializer or Constant node, None where the tensor is no constant."""
        if name in self._constants:
            return numpy_helper.to_array(self._constants[name])
        node = self.producer.get(name)
        if node is None or node.op_type != "Constant":
            return None
        values = [attribute.t for attribute in node.attribute if attribute.name == "value"]
        return numpy_helper.to_array(values[0]) if values else None

    def shape(self, name: str) -> tuple[int | str | None, ...] | None:
        """Return a tensor's shape: a number, a symbol, or None per dimension; None where even the rank is unknown."""
        if name in self._constants:
            return tuple(self._constants[name].dims)
        if name and name not in self._shapes:
            self._infer()
        return self._shapes.get(name)

    def sizes(self, name: str, rank: int) -> tuple[int, ...] | None:
        """Return the sizes behind the first dimension where the tensor has this rank and all of them are known."""
        shape = self.shape(name)
        if shape is None or len(shape) != rank:
            return None
        known = tuple(size for size in shape[1:] if isinstance(size, int))
        return known if len(known) == rank - 1 else None

    def _infer(self) -> None:
        skeleton = onnx.ModelProto()
        skeleton.CopyFrom(self.model)
        del skeleton.graph.value_info[:]
        for item in list(skeleton.graph.initializer):
            if np.prod(item.dims, dtype=np.int64) > _LARGE_WEIGHT:
                skeleton.graph.input.append(helper.make_tensor_value_info(item.name, item.data_type, item.dims))
                skeleton.graph.initializer.remove(item)
        try:
            inferred = onnx.shape_inference.infer_shapes(skeleton, data_prop=True).graph
        except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
            inferred = self.graph  # nothing known but what the model says of itself: rewrites then find less
        self._shapes = dict.fromkeys(self.producer)
        for info in (*inferred.value_info, *inferred.input, *inferred.output):
            kind = info.type.tensor_type
            if kind.HasField("shape"):
                self._shapes[info.name] = tuple(_size(dimension) for dimension in kind.shape.dim)

    def new_name(self, base: str) -> str:
        """Return a tensor or node name that nothing has, beginning with `base`."""
        name, count = base, 1
        while name in self._taken:
            name, count = f"{base}_{count}", count + 1
        self._taken.add(name)
        return name

    def add_constant(self, array: Array, base: str) -> str:
        """Add an initializer and return its name."""
        name = self.new_name(base)
        self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        self._constants[name] = self.graph.initializer[-1]
        return name

    def node(self, operator: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> onnx.NodeProto:
        """Make a node with one output, named for it; `replace` puts it into the graph."""
        output = output or self.new_name(f"{inputs[0]}/{operator.lower()}")
        attributes = {name: value for name, value in attributes.items() if value is not None}
        return helper.make_node(operator, list(inputs), [output], self.new_name(f"{output}/{operator}"), **attributes)

    def copy_of(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """Return a copy to change, for `replace`."""
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        return copy

    def replace(self, old: Sequence[onnx.NodeProto], new: Sequence[onnx.NodeProto]) -> None:
        """Take the old nodes out and put the new ones where the last of them was, in order of their needs."""
        gone = {id(node) for node in old}
        everyone = list(self.graph.node)
        place = max(index for index, node in enumerate(everyone) if id(node) in gone) + 1
        before = [node for node in everyone[:place] if id(node) not in gone]
        self.put([*before, *new, *everyone[place:]])

    def bypass(self, node: onnx.NodeProto, source: str) -> None:
        """Take a node out and let the readers of its output read `source`; its output must not be fixed."""
        for user in self.users(node.output[0]):
            for place, name in enumerate(user.input):
                if name == node.output[0]:
                    user.input[place] = source
        self.put([kept for kept in self.graph.node if kept is not node])

    def put(self, ordered: Sequence[onnx.NodeProto]) -> None:
        """Make these the graph's nodes, sorted so that every tensor is made before it is read."""
        copies = _sorted([self.copy_of(node) for node in ordered])
        del self.graph.node[:]
        self.graph.node.extend(copies)
        self.edits += 1
        self._index()

    def forget_shapes(self) -> None:
        """Infer shapes anew: an edit changed the shape of a tensor that kept its name."""
        self._shapes = {}

    def result(self) -> bytes:
        """Return the model without what nothing needs any more."""
        while dead := [node for node in self.graph.node if not self._is_needed(node)]:
            for node in dead:
                self.graph.node.remove(node)
            self._index()
        used = self.fixed | set(self._users)
        kept = [item for item in self.graph.initializer if item.name in used]
        if len(kept) != len(self.graph.initializer):
            copies = [onnx.TensorProto.FromString(item.SerializeToString()) for item in kept]
            del self.graph.initializer[:]
            self.graph.initializer.extend(copies)
        del self.graph.value_info[:]  # shapes of what is gone or changed would be wrong
        return self.model.SerializeToString()

    def _is_needed(self, node: onnx.NodeProto) -> bool:
        return any(name in self.fixed or self.users(name) for name in node.output)


def _bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [body for entry in node.attribute for body in (entry.g, *entry.graphs)]


def _size(dimension: onnx.TensorShapeProto.Dimension) -> int | str | None:
    if dimension.HasField("dim_value"):
        return int(dimension.dim_value)
    return str(dimension.dim_param) or None


def _sorted(nodes_in: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return the nodes in an order in which everything is made before it is read, as near to the given as can be."""
    waiting = {name for node in nodes_in for name in node.output if name}
    ordered: list[onnx.NodeProto] = []
    rest = nodes_in
    while rest:
        later = []
        for node in rest:
            needs = {*node.input, *(name for body in _bodies(node) for inner in nodes(body) for name in inner.input)}
            if needs & waiting:
                later.append(node)
                continue
            ordered.append(node)
            waiting -= set(node.output)
        if len(later) == len(rest):
            raise BadInput("E-REWRITE", "the rewritten graph has a cycle", "report this model; it goes on as it was")
        rest = later
    return ordered
