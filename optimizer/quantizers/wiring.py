"""Who makes and who reads each tensor, and the classes of operators that quantization tells apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import onnx
from onnx import TensorProto

from optimizer.graph import nodes

# Output has the scale of the input: onnxruntime runs them on the codes, without a conversion around them.
CARRIERS = frozenset(
    {"DepthToSpace", "Expand", "Flatten", "Gather", "MaxPool", "Reshape", "Resize", "Slice", "Split", "Squeeze"}
    | {"Transpose", "Unsqueeze"}
)
ACTIVATIONS = frozenset({"Clip", "Relu"})  # absorbed by the zero point and the end of the range behind them
WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})  # with integer kernels; onnxruntime has none for ConvTranspose


@dataclass(frozen=True)
class Wiring:
    """Who makes and who reads each tensor of a graph's top level.

    Attributes:
        graph: The graph; its constants are initializers.
        floats: Names of the float32 tensors, constants included.
    """

    graph: onnx.GraphProto
    floats: frozenset[str]

    @cached_property
    def constants(self) -> dict[str, onnx.TensorProto]:
        """Return the initializers by name."""
        return {item.name: item for item in self.graph.initializer}

    @cached_property
    def producers(self) -> dict[str, onnx.NodeProto]:
        """Return tensor name -> the node that makes it."""
        return {name: node for node in self.graph.node for name in node.output if name}

    @cached_property
    def consumers(self) -> dict[str, list[onnx.NodeProto]]:
        """Return tensor name -> the nodes that read it, in order."""
        found: dict[str, list[onnx.NodeProto]] = {}
        for node in self.graph.node:
            for name in dict.fromkeys(node.input):
                found.setdefault(name, []).append(node)
        return found

    @cached_property
    def pinned(self) -> frozenset[str]:
        """Return tensors whose float value must stay readable under their name: outputs, and what bodies read."""
        bodies = [g for node in self.graph.node for item in node.attribute for g in (item.g, *item.graphs)]
        outer = {name for body in bodies for node in nodes(body) for name in node.input}
        outer |= {item.name for body in bodies for item in body.output}
        return frozenset(outer | {item.name for item in self.graph.output})

    def data_inputs(self, node: onnx.NodeProto) -> list[str]:
        """Return the float activations a node reads; weights, shapes and bounds are none."""
        names = node.input[:1] if node.op_type in CARRIERS | ACTIVATIONS | WEIGHTED else node.input
        return [name for name in names if name in self.floats and name not in self.constants]


def wiring_of(model: onnx.ModelProto) -> Wiring:
    """Return who reads what, after turning Constant nodes of the top level into initializers, in place."""
    graph = model.graph
    for node in [node for node in graph.node if node.op_type == "Constant"]:
        value = next((item.t for item in node.attribute if item.name == "value"), None)
        if value is not None:
            tensor = onnx.TensorProto()
            tensor.CopyFrom(value)
            tensor.name = node.output[0]
            graph.initializer.append(tensor)
            graph.node.remove(node)
    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = [*inferred.input, *inferred.output, *inferred.value_info]
    floats = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    floats |= {item.name for item in graph.initializer if item.data_type == TensorProto.FLOAT}
    return Wiring(graph, frozenset(floats))
