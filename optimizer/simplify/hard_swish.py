"""x * Clip(x + 3, 0, 6) / 6 = x * HardSigmoid(x; 1/6, 1/2): four passes over the tensor become two.

1. Add 3, Clip to 0..6, then Div by 6 (or Mul by 1/6), before or after the multiplication with x.
2. HardSigmoid with alpha 1/6 and beta 1/2, then the multiplication with x where there was one.
"""

from __future__ import annotations

import numpy as np
import onnx

from optimizer.simplify.editor import Editor, rewrite


def apply(data: bytes) -> bytes:
    """Return the model with HardSigmoid for its parts."""
    return rewrite(data, _once)


def _once(graph: Editor) -> bool:
    for clip in graph.find("Clip"):
        add = graph.made_by(clip.input[0], "Add")
        limits = [_scalar(graph, name) for name in clip.input[1:]]
        if add is None or limits != [0.0, 6.0] or graph.only_user(add.output[0], "Clip") is None:
            continue
        source = _without(graph, add, 3.0)
        scaled = graph.only_user(clip.output[0], "Div", "Mul")
        if source is None or scaled is None:
            continue
        times_x = scaled if scaled.op_type == "Mul" and source in scaled.input else None
        divided = graph.only_user(scaled.output[0], "Div", "Mul") if times_x else scaled
        if divided is None or not _is_sixth(graph, divided):
            continue
        hard = graph.node("HardSigmoid", [source], "" if times_x else divided.output[0], alpha=1 / 6, beta=0.5)
        product = [graph.node("Mul", [source, hard.output[0]], divided.output[0])] if times_x else []
        graph.replace([add, clip, *([times_x] if times_x else []), divided], [hard, *product])
        return True
    return False


def _scalar(graph: Editor, name: str) -> float | None:
    value = graph.constant(name)
    return float(value.reshape(-1)[0]) if value is not None and value.size == 1 else None


def _without(graph: Editor, node: onnx.NodeProto, number: float) -> str | None:
    """Return the operand of a two-operand node beside a constant of this value."""
    first, second = node.input
    if _scalar(graph, second) == number:
        return first
    return second if _scalar(graph, first) == number else None


def _is_sixth(graph: Editor, node: onnx.NodeProto) -> bool:
    if node.op_type == "Div":
        return _scalar(graph, node.input[1]) == 6.0
    numbers = [number for name in node.input if (number := _scalar(graph, name)) is not None]
    return len(numbers) == 1 and bool(np.isclose(numbers[0], 1 / 6, rtol=1e-6))
