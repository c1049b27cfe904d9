"""Activations that rounding does already: a Relu or Clip whose bounds the codes behind it cannot leave."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import helper, numpy_helper

from optimizer.quantizers.encoding import Encoding
from optimizer.quantizers.region import Region
from optimizer.quantizers.wiring import ACTIVATIONS, CARRIERS, Wiring


def absorbed(wiring: Wiring, region: Region, encodings: Mapping[str, Encoding]) -> frozenset[str]:
    """Return the names of activations that can be dropped: their producer writes their rounded output itself."""
    return frozenset(
        node.name
        for node in wiring.graph.node
        if node.op_type in ACTIVATIONS
        and node in region
        and node.output[0] in encodings
        and _is_alone_behind_a_kernel(wiring, region, node)
        and _cannot_be_left(clip_bounds(wiring, node), encodings[node.output[0]])
    )


def clip_bounds(wiring: Wiring, node: onnx.NodeProto) -> tuple[float, float]:
    """Return the constant bounds of a Relu or Clip, infinite where it has none."""
    if node.op_type == "Relu":
        return 0.0, float("inf")
    given = {item.name: float(helper.get_attribute_value(item)) for item in node.attribute}  # before opset 11
    for place, bound in ((1, "min"), (2, "max")):
        if len(node.input) > place and node.input[place]:
            given[bound] = float(numpy_helper.to_array(wiring.constants[node.input[place]]).reshape(()))
    return given.get("min", float("-inf")), given.get("max", float("inf"))


def _is_alone_behind_a_kernel(wiring: Wiring, region: Region, node: onnx.NodeProto) -> bool:
    source = node.input[0]
    producer = wiring.producers.get(source)
    if producer is None or producer not in region or producer.op_type in CARRIERS:
        return False
    return source not in wiring.pinned and wiring.consumers[source] == [node]


def _cannot_be_left(clip: tuple[float, float], encoding: Encoding) -> bool:
    lowest, highest = encoding.bounds
    half_a_step = float(encoding.scale) / 2
    return clip[0] <= lowest + half_a_step and highest <= clip[1] + half_a_step
