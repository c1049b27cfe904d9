"""float16 throughout, but for what would not fit; inputs and outputs keep their types."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

from optimizer.graph import drop_unused_domains, nodes
from optimizer.quantizers import CONVERTER_ERRORS, refused
from optimizer.quantizers.wiring import wiring_of
from optimizer.recipe import Recipe

_LARGEST = 65504.0  # of float16
_ROOM = 2.0  # how much further than calibration has seen an activation may go


def apply(data: bytes, recipe: Recipe, ranges: Mapping[str, tuple[float, float]]) -> bytes:
    """Return the model in float16; nodes around weights or observed activations above 65504 stay float32.

    Args:
        data: The float32 model, its nodes named.
        recipe: `keep_float` names more nodes that stay.
        ranges: Observed ranges; without them only weights are checked.

    Raises:
        BadInput: E-QUANTIZE, onnxruntime's converter does not take this graph.
    """
    model = onnx.load_model_from_string(data)
    blocked = sorted({*recipe.keep_float, *too_large(model.graph, ranges)})
    if {node.name for node in model.graph.node} <= {*blocked}:
        return data
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one per weight below 6e-8, which rounds to that
            converted = convert_float_to_float16(
                model, keep_io_types=True, op_block_list=DEFAULT_OP_BLOCK_LIST, node_block_list=blocked
            )
    except CONVERTER_ERRORS as error:
        raise refused(f"{type(error).__name__}: {error}") from error
    _drop_detours(converted.graph, {*blocked})
    drop_unused_domains(converted)
    return bytes(converted.SerializeToString())


def _drop_detours(graph: onnx.GraphProto, blocked: set[str]) -> None:
    """Connect float32 nodes directly, in place: the converter rounds to float16 between any two of them.

    What did not fit into float16 would overflow on that way.
    """
    still = [n for n in graph.node if n.op_type != "Cast" and (n.name in blocked or n.op_type in DEFAULT_OP_BLOCK_LIST)]
    float32 = {name for node in still for name in node.output}
    float32 |= {item.name for item in graph.input if item.type.tensor_type.elem_type == TensorProto.FLOAT}
    casts = {node.output[0]: node for node in graph.node if node.op_type == "Cast"}
    narrowed = {
        name: node.input[0]
        for name, node in casts.items()
        if node.attribute[0].i == TensorProto.FLOAT16 and node.input[0] in float32
    }
    direct = {
        name: narrowed[node.input[0]]
        for name, node in casts.items()
        if node.attribute[0].i == TensorProto.FLOAT and node.input[0] in narrowed
    }
    outputs = {item.name for item in graph.output}
    for node in graph.node:
        node.input[:] = [direct.get(name, name) for name in node.input]
        if node.output[0] in direct.keys() & outputs:
            node.CopyFrom(onnx.helper.make_node("Identity", [direct[node.output[0]]], node.output[:1], node.name))
    used = {name for node in nodes(graph) for name in node.input} | outputs
    for node in [node for node in graph.node if node.op_type == "Cast" and node.output[0] not in used]:
        graph.node.remove(node)


def tensors_to_observe(data: bytes) -> list[str]:
    """Return every float activation of the top level, in a fixed order: any of them may overflow."""
    wiring = wiring_of(onnx.load_model_from_string(data))
    made = {name for node in wiring.graph.node for name in node.output} | {item.name for item in wiring.graph.input}
    return sorted((made & wiring.floats) - wiring.constants.keys())


def too_large(graph: onnx.GraphProto, ranges: Mapping[str, tuple[float, float]]) -> Iterator[str]:
    """Yield the names of nodes that read or write what float16 cannot hold, twice the observed range allowed for."""
    tensors = {name for name, ends in ranges.items() if max(map(abs, ends)) * _ROOM > _LARGEST}
    for item in graph.initializer:
        if item.data_type == onnx.TensorProto.FLOAT:
            weight = numpy_helper.to_array(item)
            if np.abs(weight).max(initial=0.0) > _LARGEST:
                tensors.add(item.name)
    yield from (node.name for node in nodes(graph) if tensors & {*node.input, *node.output})
