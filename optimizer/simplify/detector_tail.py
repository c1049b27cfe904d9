"""Transpose(Concat(Reshape(x_i))) = Concat(Reshape(Transpose(x_i))): each level is turned before it is joined.

1. Concat along axis 2 of Reshapes [N, C, H, W] -> [N, C, H * W], then Transpose(0, 2, 1).
2. Each level becomes Transpose(0, 2, 3, 1) and Reshape to [N, H * W, C]; the Concat is along axis 1.

onnxruntime fuses a Transpose behind a blocked convolution into the reordering that it does anyway.
"""

from __future__ import annotations

import numpy as np
import onnx

from optimizer.simplify.editor import Editor, attribute, rewrite


def apply(data: bytes) -> bytes:
    """Return the model with levels transposed one by one."""
    return rewrite(data, _once)


def _once(graph: Editor) -> bool:
    for concat in graph.find("Concat"):
        transpose = graph.only_user(concat.output[0], "Transpose")
        if transpose is None or attribute(transpose, "perm") != [0, 2, 1] or attribute(concat, "axis") not in {2, -1}:
            continue
        found = [_level(graph, name) for name in concat.input]
        levels = [level for level in found if level is not None]
        if len(levels) < len(found):
            continue
        new: list[onnx.NodeProto] = []
        for reshape, (channels, height, width) in levels:
            turned = graph.node("Transpose", [reshape.input[0]], perm=[0, 2, 3, 1])
            shape = graph.add_constant(np.array([-1, height * width, channels], np.int64), "cells_by_channels")
            new += [turned, graph.node("Reshape", [turned.output[0], shape])]
        joined = graph.node("Concat", [node.output[0] for node in new[1::2]], transpose.output[0], axis=1)
        graph.replace([*(reshape for reshape, _ in levels), concat, transpose], [*new, joined])
        return True
    return False


def _level(graph: Editor, name: str) -> tuple[onnx.NodeProto, tuple[int, int, int]] | None:
    reshape = graph.made_by(name, "Reshape", "Flatten")
    if reshape is None or reshape.op_type == "Flatten" or graph.only_user(name, "Concat") is None:
        return None
    size = graph.sizes(reshape.input[0], 4)
    if size is None or graph.sizes(name, 3) != (size[0], size[1] * size[2]):
        return None
    return reshape, (size[0], size[1], size[2])
