"""Conv over pixels dealt into channels = one convolution with twice the kernel and stride on the image itself.

1. SpaceToDepth with block 2, perhaps its channels picked by a Gather, or Concat of images of every second pixel (Slices
   with step 2); read by one convolution only (one group, no dilation).
2. Kernel, strides and pads double; weight'[o, c, 2 i + row, 2 j + column] = weight[o, dealt(c, row, column), i, j].

onnxruntime itself makes SpaceToDepth and Gather of the Slices and the Concat.
"""

from __future__ import annotations

import numpy as np
import onnx

from edge_runtime.inference.engine import Array
from optimizer.simplify.editor import Editor, attribute, rewrite
from optimizer.simplify.window import Window

Origin = tuple[int, int, int]  # of a dealt channel: channel of the image, row and column within 2 x 2 pixels


def apply(data: bytes) -> bytes:
    """Return the model with the stem on the image itself."""
    return rewrite(data, _once)


def _once(graph: Editor) -> bool:
    for conv in graph.find("Conv"):
        window, weight = Window.of(conv, 2), graph.constant(conv.input[1])
        if window is None or weight is None or window.group != 1 or window.dilations != (1, 1):
            continue
        if graph.only_user(conv.input[0], "Conv") is None:
            continue
        source, origins = _dealt(graph, conv.input[0])
        image = graph.sizes(source, 4) if origins else None
        if image is None or image[1] % 2 or image[2] % 2 or weight.shape[1] != len(origins):
            continue
        wide = _spread(weight, origins, image[0])
        new = graph.node(
            "Conv",
            [source, graph.add_constant(wide, f"{conv.input[1]}/spread"), *conv.input[2:]],
            conv.output[0],
            kernel_shape=wide.shape[2:],
            strides=[2 * size for size in window.strides],
            pads=[2 * size for size in window.pads],
        )
        graph.replace([conv], [new])  # what dealt the pixels goes with all that nothing reads any more
        return True
    return False


def _spread(weight: Array, origins: list[Origin], channels: int) -> Array:
    outputs, _, height, width = weight.shape
    wide = np.zeros((outputs, channels, 2 * height, 2 * width), weight.dtype)
    for index, (channel, row, column) in enumerate(origins):
        wide[:, channel, row::2, column::2] += weight[:, index]
    return wide


def _dealt(graph: Editor, name: str) -> tuple[str, list[Origin]]:
    """Return the image and where each channel of the dealt tensor comes from; no origins where nothing was dealt."""
    gather = graph.made_by(name, "Gather")
    picked = graph.constant(gather.input[1]) if gather else None
    if gather is not None:
        source, origins = _dealt(graph, gather.input[0]) if graph.only_user(gather.input[0], "Gather") else ("", [])
        if picked is None or picked.ndim != 1 or attribute(gather, "axis", 0) != 1:
            return "", []
        return source, [origins[place] for place in picked] if origins else []
    joined = graph.made_by(name, "SpaceToDepth", "Concat")
    if joined is None:
        return "", []
    return _space_to_depth(graph, joined) if joined.op_type == "SpaceToDepth" else _slices(graph, joined)


def _space_to_depth(graph: Editor, node: onnx.NodeProto) -> tuple[str, list[Origin]]:
    image = graph.sizes(node.input[0], 4)
    if attribute(node, "blocksize") != 2 or image is None:
        return "", []
    return node.input[0], [(c, row, column) for row in (0, 1) for column in (0, 1) for c in range(image[0])]


def _slices(graph: Editor, concat: onnx.NodeProto) -> tuple[str, list[Origin]]:
    corners = [_corner(graph, name) for name in concat.input] if attribute(concat, "axis") == 1 else []
    found = [corner for corner in corners if corner is not None]
    sources = {source for source, _ in found}
    image = graph.sizes(found[0][0], 4) if found else None
    if len(sources) != 1 or len(found) != len(corners) or image is None:
        return "", []
    return found[0][0], [(c, row, column) for _, (row, column) in found for c in range(image[0])]


def _corner(graph: Editor, name: str) -> tuple[str, tuple[int, int]] | None:
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
        to_the_end = isinstance(size, int) and end >= size
        if axis % 4 not in {2, 3} or start not in {0, 1} or step != 2 or not to_the_end:
            return None
        cuts[axis % 4] = start
    return cuts or None
