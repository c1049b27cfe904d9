"""MaxPool_9(x) = MaxPool_5(MaxPool_5(x)): a pyramid of stride-1 pools becomes a chain of small ones.

1. MaxPools of one tensor with stride 1, odd square kernels k1 < k2 < … and "same" padding k // 2.
2. Each but the first becomes MaxPool with kernel k(i+1) - k(i) + 1 over the one before it.

At borders too: padding counts as minus infinity, and between a pixel and its neighbour there are only pixels.
"""

from __future__ import annotations

from itertools import pairwise

import onnx

from optimizer.simplify.editor import Editor, rewrite
from optimizer.simplify.window import Window


def apply(data: bytes) -> bytes:
    """Return the model with every pyramid chained."""
    return rewrite(data, _once)


def _once(graph: Editor) -> bool:
    sources = dict.fromkeys(node.input[0] for node in graph.find("MaxPool"))
    for source in sources:
        pools = sorted((side, index) for index, node in enumerate(graph.users(source)) if (side := _side(node)))
        nodes = [(side, graph.users(source)[index]) for side, index in pools]
        for (small, inner), (large, outer) in pairwise(nodes):
            if large > small:
                side = large - small + 1
                shape = {"kernel_shape": [side, side], "pads": [side // 2] * 4, "strides": [1, 1]}
                graph.replace([outer], [graph.node("MaxPool", [inner.output[0]], outer.output[0], **shape)])
                return True
    return False


def _side(node: onnx.NodeProto) -> int | None:
    """Return the kernel's side where the pool is a plain one of rule 1."""
    window = Window.of(node, 2) if node.op_type == "MaxPool" and len(node.output) == 1 else None
    if window is None or window.kernel[0] != window.kernel[1] or window.kernel[0] % 2 == 0:
        return None
    side = window.kernel[0]
    plain = Window((side, side), (1, 1), (side // 2,) * 4, (1, 1), 1)
    return side if window == plain else None
