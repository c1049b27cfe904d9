"""A float32 model as its weighted layers: what a correction reads, and the few ways in which it may change it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edge_runtime.inference.engine import Array
from optimizer.graph import WEIGHTED_OPS, output_channel_axis

Shape: TypeAlias = tuple[int | None, ...]  # None for a size that is not fixed


@dataclass(frozen=True)
class Layer:
    """One multiplying node whose weight is a float32 constant that nothing else uses.

    Attributes:
        node: The node, part of the graph it came from.
        weight: Its weight.
        axis: The weight's output-channel axis; with `groups` above 1 in a ConvTranspose it covers one group only.
        groups: Groups of a convolution, 1 for matrix products.
    """

    node: onnx.NodeProto
    weight: Array
    axis: int
    groups: int

    @property
    def channels(self) -> int:
        """Return the number of output channels."""
        size = int(self.weight.shape[self.axis])
        return size * self.groups if self.node.op_type == "ConvTranspose" else size

    @property
    def input_channels(self) -> int:
        """Return the number of input channels, all groups together."""
        if self.node.op_type == "Conv":
            return int(self.weight.shape[1]) * self.groups
        return int(self.weight.shape[0 if self.axis else 1])

    @property
    def channel_axis(self) -> int:
        """Return the axis of the output along which the channels lie: 1 for convolutions, the last for products."""
        return 1 if self.node.op_type.startswith("Conv") else -1

    def along_outputs(self, values: Array) -> Array:
        """Return one value per output channel (outputs,), shaped to be multiplied with the weight."""
        dims = self.weight.ndim
        if self.node.op_type == "ConvTranspose":
            rows = np.repeat(values.reshape(self.groups, -1), self.weight.shape[0] // self.groups, axis=0)
            return rows.reshape(*rows.shape, *[1] * (dims - 2))
        return values.reshape([-1 if axis == self.axis else 1 for axis in range(dims)])

    def along_inputs(self, values: Array) -> Array:
        """Return one value per input channel (inputs,), shaped to be multiplied with the weight."""
        dims = self.weight.ndim
        if self.node.op_type == "Conv":
            rows = np.repeat(values.reshape(self.groups, -1), self.weight.shape[0] // self.groups, axis=0)
            return rows.reshape(*rows.shape, *[1] * (dims - 2))
        return values.reshape([-1 if axis == (0 if self.axis else 1) else 1 for axis in range(dims)])

    def input_peaks(self) -> Array:
        """Return the largest magnitude that the weight holds for each input channel (inputs,)."""
        magnitude = np.abs(self.weight)
        if self.node.op_type == "Conv":
            grouped = magnitude.reshape(self.groups, -1, *magnitude.shape[1:])
            return np.asarray(grouped.max(axis=(1, *range(3, grouped.ndim))).reshape(-1))
        inputs = 0 if self.axis else 1
        return np.asarray(magnitude.max(axis=tuple(axis for axis in range(magnitude.ndim) if axis != inputs)))


class FloatGraph:
    """A model with its constants, producers and users by tensor name; constants are changed through `set_constant`."""

    def __init__(self, data: bytes) -> None:
        self.model = onnx.load_model_from_string(data)
        graph = self.model.graph
        self.constants = {i.name: i for i in graph.initializer if i.data_type == onnx.TensorProto.FLOAT}
        self.outputs = {item.name for item in graph.output}
        self.producers: dict[str, onnx.NodeProto] = {}
        self.users: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            self.producers.update(dict.fromkeys(node.output, node))
            for name in _names_used(node):
                self.users.setdefault(name, []).append(node)

    def layers(self) -> Iterator[Layer]:
        """Yield the layers in graph order; a weight shared by several nodes, or seen from outside, makes none."""
        found = (self.layer_of(node) for node in self.model.graph.node)
        yield from (layer for layer in found if layer is not None)

    def layer_of(self, node: onnx.NodeProto) -> Layer | None:
        """Return the layer a node makes, None where it makes none; see `layers`."""
        if node.op_type not in WEIGHTED_OPS or node.domain not in {"", "ai.onnx"} or len(node.input) < 2:
            return None
        weight = self.constant(node.input[1])
        if weight is None or weight.ndim < 2 or not self._is_own(node.input[1]):
            return None
        if node.op_type == "MatMul" and weight.ndim != 2:
            return None
        return Layer(node, weight, output_channel_axis(node, weight.ndim), int(attribute(node, "group", 1)))

    def current(self, layer: Layer) -> Layer:
        """Return a layer with its weight as it is now."""
        return replace(layer, weight=numpy_helper.to_array(self.constants[layer.node.input[1]]))

    def constant(self, name: str) -> Array | None:
        """Return a float32 constant, None where `name` is none."""
        return numpy_helper.to_array(self.constants[name]) if name in self.constants else None

    def only_user(self, tensor: str) -> onnx.NodeProto | None:
        """Return the one node that uses a tensor once, None where more do or the caller of the model sees it."""
        users = self.users.get(tensor, [])
        return users[0] if len(users) == 1 and tensor not in self.outputs else None

    def bias_of(self, layer: Layer) -> tuple[onnx.NodeProto, int] | None:
        """Return the node and input index of a layer's constant bias, the index one past the end where it has none.

        A MatMul's bias stands in the Add that follows it. None where the bias is no constant, or has no place.
        """
        node = layer.node
        if node.op_type == "MatMul":
            user = self.only_user(node.output[0])
            if user is None or user.op_type != "Add":
                return None
            index = 1 - list(user.input).index(node.output[0])
            return (user, index) if user.input[index] in self.constants else None
        is_free = len(node.input) < 3 or not node.input[2]
        return (node, 2) if is_free or node.input[2] in self.constants else None

    def set_constant(self, node: onnx.NodeProto, index: int, value: Array) -> None:
        """Give input `index` of a node a new constant; where others share the old one, they keep it."""
        old = node.input[index] if index < len(node.input) else ""
        array = np.ascontiguousarray(value, dtype=np.float32)
        if old in self.constants and self._is_own(old):
            self.constants[old].CopyFrom(numpy_helper.from_array(array, old))
            return
        name = self.free_name(f"{old or node.name}_corrected")
        self.model.graph.initializer.append(numpy_helper.from_array(array, name))
        self.constants[name] = self.model.graph.initializer[-1]
        if index < len(node.input):
            node.input[index] = name
            if old:
                self.users[old].remove(node)
        else:
            node.input.append(name)
        self.users[name] = [node]

    def shapes(self) -> dict[str, Shape]:
        """Return tensor name -> shape where shape inference knows it, None for a size that it does not."""
        graph = onnx.shape_inference.infer_shapes(self.model).graph
        return {
            value.name: tuple(
                d.dim_value if d.HasField("dim_value") else None for d in value.type.tensor_type.shape.dim
            )
            for value in (*graph.input, *graph.value_info, *graph.output)
            if value.type.tensor_type.HasField("shape")
        }

    def free_name(self, wanted: str) -> str:
        """Return `wanted`, lengthened until no tensor has it."""
        taken = {*self.users, *self.producers, *self.outputs, *(i.name for i in self.model.graph.initializer)}
        while wanted in taken:
            wanted += "_"
        return wanted

    def serialize(self) -> bytes:
        """Return the model as it stands."""
        return self.model.SerializeToString()

    def _is_own(self, constant: str) -> bool:
        return len(self.users.get(constant, [])) == 1 and constant not in self.outputs


def _names_used(node: onnx.NodeProto) -> Iterator[str]:
    """Yield what a node reads, its control-flow bodies included: they see the outer graph's tensors by name."""
    yield from (name for name in node.input if name)
    for item in node.attribute:
        for body in (item.g, *item.graphs):
            for inner in body.node:
                yield from _names_used(inner)
            yield from (output.name for output in body.output)


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return a node's attribute, `default` where it has none."""
    found = next((item for item in node.attribute if item.name == name), None)
    return default if found is None else helper.get_attribute_value(found)
