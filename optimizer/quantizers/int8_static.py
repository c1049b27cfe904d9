"""Static int8: ranges from calibration, written as QuantizeLinear and DequantizeLinear around float operators.

onnxruntime and TensorRT recognise the pattern and put integer kernels in its place. Where the pairs stand decides
whether they can: see region.py for which tensors are rounded.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper

from optimizer.graph import opset_of
from optimizer.quantizers import refused
from optimizer.quantizers.absorb import absorbed
from optimizer.quantizers.encoding import Encoding, agreed_ranges, asymmetric, symmetric
from optimizer.quantizers.gates import fuse
from optimizer.quantizers.qdq import CONTRIB, QdqWriter
from optimizer.quantizers.region import QUANTIZABLE, Region, find_region
from optimizer.quantizers.wiring import ACTIVATIONS, CARRIERS, Wiring, wiring_of
from optimizer.recipe import Recipe
from optimizer.schemes import Int8StaticSymmetric

_FIRST_OPSET = 10  # QuantizeLinear and DequantizeLinear


def tensors_to_observe(data: bytes, also: tuple[str, ...] = ()) -> list[str]:
    """Return the float activations whose ranges any static form of the model may need, in a fixed order."""
    wiring = wiring_of(onnx.load_model_from_string(data))
    touched = {
        name
        for node in wiring.graph.node
        if node.op_type in QUANTIZABLE | {*also}
        for name in (*wiring.data_inputs(node), *node.output)
    }
    return sorted((touched & wiring.floats) - wiring.constants.keys())


def apply(data: bytes, recipe: Recipe, ranges: Mapping[str, tuple[float, float]]) -> bytes:
    """Return the model with Q and DQ pairs around its int8 region; the data themselves where nothing takes the form.

    Raises:
        BadInput: E-QUANTIZE, the operator set is too old or a tensor has no range.
    """
    model = onnx.load_model_from_string(data)
    if opset_of(model) < _FIRST_OPSET:
        raise refused(f"opset {opset_of(model)} has no quantized operators", "export with opset 13 or newer")
    wiring = wiring_of(model)
    also = getattr(recipe.scheme, "also", ())
    region = find_region(wiring, frozenset(recipe.keep_float), also)
    if not region.nodes:
        return data
    encodings = _encodings(wiring, region, recipe, ranges)
    writer = QdqWriter(wiring, region, encodings, opset_of(model), also, is_symmetric(recipe), recipe.reduced)
    writer.in_any_order = recipe.in_any_order
    writer.write(absorbed(wiring, region, encodings))
    written = writer.nodes if is_symmetric(recipe) else fuse(writer.nodes, wiring.pinned)
    del model.graph.node[:]
    model.graph.node.extend(written)
    used = {name for node in model.graph.node for name in node.input} | wiring.pinned
    kept = [item for item in model.graph.initializer if item.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, *writer.constants.values()])
    if any(node.domain == CONTRIB for node in written) and all(e.domain != CONTRIB for e in model.opset_import):
        model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
    return model.SerializeToString()


def is_symmetric(recipe: Recipe) -> bool:
    """Tell whether a recipe has all zero points at 0."""
    return isinstance(recipe.scheme, Int8StaticSymmetric)


def _encodings(
    wiring: Wiring, region: Region, recipe: Recipe, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, Encoding]:
    """Return the encoding of every rounded tensor; what only moves data hands on that of its input."""
    ranges = agreed_ranges(wiring, region, ranges)
    wide = _wide_tensors(wiring, recipe.wide)
    encodings: dict[str, Encoding] = {}
    for name in region.quantized:
        producer = wiring.producers.get(name)
        if producer is not None and producer in region and producer.op_type in CARRIERS:
            encodings[name] = encodings[producer.input[0]]
            continue
        if name not in ranges:
            raise refused(f"no range was observed for {name}", "calibrate again: the ranges are not this model's")
        low, high = ranges[name]
        if is_symmetric(recipe):
            encodings[name] = symmetric(low, high, np.int16 if name in wide else np.int8)
        else:
            encodings[name] = asymmetric(low, high, np.uint16 if name in wide else np.uint8)
    return encodings


def _wide_tensors(wiring: Wiring, nodes: tuple[str, ...]) -> set[str]:
    """Return the activations around the named nodes, and those that carry the same codes."""
    wide = {
        name for node in wiring.graph.node if node.name in nodes for name in (*wiring.data_inputs(node), *node.output)
    }
    carriers = [node for node in wiring.graph.node if node.op_type in CARRIERS | ACTIVATIONS]
    for node in [*carriers, *reversed(carriers)]:
        around = {node.input[0], *node.output}
        wide |= around if around & wide else set()
    return wide
