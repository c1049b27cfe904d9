"""x * Sigmoid(x) behind a rounded tensor: written as onnxruntime's QuickGelu, one conversion and one float kernel.

onnxruntime makes that fusion itself in a float graph, but not here: it gives each reader of a rounded tensor a
DequantizeLinear of its own, and then no longer sees that gate and product read the same tensor.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import helper

from optimizer.quantizers.qdq import CONTRIB


def fuse(nodes: Sequence[onnx.NodeProto], outputs: frozenset[str]) -> list[onnx.NodeProto]:
    """Return the nodes with each such pair as one, under the product's name; `outputs` must stay readable."""
    restored = {node.output[0] for node in nodes if node.op_type == "DequantizeLinear"}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in dict.fromkeys(node.input):
            readers.setdefault(name, []).append(node)
    gates: dict[str, str] = {}  # the gate's output -> what it gates
    for node in nodes:
        if node.op_type != "Sigmoid" or node.input[0] not in restored or node.output[0] in outputs:
            continue
        behind = readers.get(node.output[0], [])
        if len(behind) == 1 and behind[0].op_type == "Mul" and set(behind[0].input) == {node.input[0], node.output[0]}:
            gates[node.output[0]] = node.input[0]
    fused = []
    for node in nodes:
        gated = [name for name in node.input if name in gates] if node.op_type == "Mul" else []
        if gated:
            source = gates[gated[0]]
            node = helper.make_node("QuickGelu", [source], list(node.output), node.name, domain=CONTRIB, alpha=1.0)  # noqa: PLW2901
        if node.output[0] not in gates:
            fused.append(node)
    return fused
