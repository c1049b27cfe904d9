"""Conv over pixels dealt into channels = one convolution with twice the kernel and stride on the image itself.

1. Concat along the channels of the four images of every second pixel (Slices with step 2), or SpaceToDepth with block
   2, read by one convolution only (one group, no dilation).
2. Kernel, strides and pads double; weight'[o, c, 2 i + row, 2 j + column] = weight[o, place(row, column) + c, i, j].
"""

from __future__ import annotations

import numpy as np
import onnx

from edge_runtime.inference.engine import Array
from optimizer.simplify.editor import Editor, attribute, rewrite
from optimizer.simplify.window import Window

Corner = tuple[int, int]
Dealt = tuple[str, list[Corner], list[onnx.NodeProto]]  # the image, the corners in channel order, the nodes that deal


def apply(data: bytes) -> bytes:
    """Return the model with the stem on the image itself."""
    return rewrite(data, _once)


def _once(graph: Editor) -> bool:
    for joined in graph.find("Concat", "SpaceToDepth"):
        conv = graph.only_user(joined.output[0], "Conv")
        window = Window.of(conv, 2) if conv else None
        weight = graph.constant(conv.input[1]) if conv else None
        if conv is None or window is None or weight is None or window.group != 1 or window.dilations != (1, 1):
            continue
        dealt = _space_to_depth(joined) if joined.op_type == "SpaceToDepth" else _slices(graph, joined)
        image = graph.sizes(dealt[0], 4) if dealt else None
        if dealt is None or image is None or image[1] % 2 or image[2] % 2 or weight.shape[1] != 4 * image[0]:
            continue
        source, corners, nodes = dealt
        wide = _spread(weight, corners)
        new = graph.node(
            "Conv",
            [source, graph.add_constant(wide, f"{conv.input[1]}/spread"), *conv.input[2:]],
            conv.output[0],
            kernel_shape=wide.shape[2:],
            strides=[2 * size for size in window.strides],
            pads=[2 * size for size in window.pads],
        )
        graph.replace([joined, conv], [new])  # the Slices go with what nothing reads any more
        return bool(nodes)
    return False


def _spread(weight: Array, corners: list[Corner]) -> Array:
    outputs, inputs, height, width = weight.shape
    channels = inputs // 4
    wide = np.zeros((outputs, channels, 2 * height, 2 * width), weight.dtype)
    for index, (row, column) in enumerate(corners):
        wide[:, :, row::2, column::2] = weight[:, index * channels : (index + 1) * channels]
    return wide


def _space_to_depth(node: onnx.NodeProto) -> Dealt | None:
    corners = [(0, 0), (0, 1), (1, 0), (1, 1)]
    return (node.input[0], corners, [node]) if attribute(node, "blocksize") == 2 else None


def _slices(graph: Editor, concat: onnx.NodeProto) -> Dealt | None:
    if attribute(concat, "axis") != 1 or len(concat.input) != 4:
        return None
    found = [_corner(graph, name) for name in concat.input]
    sources = {corner[0] for corner in found if corner}
    corners = [corner[1] for corner in found if corner]
    if len(corners) != 4 or len(set(corners)) != 4 or len(sources) != 1:
        return None
    return sources.pop(), corners, [concat]


def _corner(graph: Editor, name: str) -> tuple[str, Corner] | None:
    """Follow Slices with step 2 upwards; return the image and which of its 2 x 2 corners they take."""
    start_of: dict[int, int] = {}
    while (node := graph.made_by(name, "Slice")) is not None and len(start_of) < 2:
        cuts = _every_second(graph, node)
        if cuts is None or start_of.keys() & cuts.keys():
            return None
        start_of |= cuts
        name = node.input[0]
    return (name, (start_of[2], start_of[3])) if start_of.keys() == {2, 3} else None


def _every_second(graph: Editor, node: onnx.NodeProto) -> dict[int, int] | None:
    """Return axis -> start where the Slice takes every second row or column to the very end."""
    values = [graph.constant(name) for name in node.input[1:]]
    shape = graph.shape(node.input[0])
    if len(values) != 4 or shape is None or len(shape) != 4:
        return None
    starts, ends, axes, steps = (value.tolist() if value is not None else [] for value in values)
    cuts = {}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=False):
        size = shape[axis]
        if (
            axis % 4 not in {2, 3}
            or start not in {0, 1}
            or step != 2
            or not isinstance(size, int)
            or end < size - 1 + start % 2
        ):
            return None
        cuts[axis % 4] = start
    return cuts or None
