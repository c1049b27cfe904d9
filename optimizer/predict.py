"""Whether a quantized form will be faster than float32, told from its executed graph and the shapes."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, TypeAlias

import onnx

from devices.profile import LOCAL, load
from optimizer.cost import (
    CONVERSION,
    INTEGER_ELEMENTWISE,
    LAYOUT,
    OVERHEAD,
    PROCESSORS,
    UNBLOCKED,
    Shapes,
    known_shapes,
    layer_costs,
)

Verdict: TypeAlias = Literal["faster", "slower", "unsure"]

_CALL, _NODE = 10.0, 2.5  # us of one inference and of each of its operators, whatever they compute
_CONVERSIONS = frozenset({"DequantizeLinear", "QuantizeLinear"})
_MARGIN = 1.25  # the formulas' median error is 5 to 22 %, and what stands around the layers is only estimated
_INTEGER_ELEMENTWISE = frozenset(
    {"QLinearAdd", "QLinearConcat", "QLinearLeakyRelu", "QLinearMul", "QLinearSigmoid", "QLinearSoftmax"}
)
_FLOAT_BLOCKED = frozenset({"Conv", "FusedConv", "ReorderInput", "ReorderOutput"})


@dataclass(frozen=True)
class Prediction:
    """What was predicted and why.

    Attributes:
        verdict: Faster or slower than float32, or unsure.
        reason: In words, with the predicted shares.
        ratio: Predicted float32 time / predicted time of this form; 1.0 where nothing could be predicted.
    """

    verdict: Verdict
    reason: str
    ratio: float


NOTHING_QUANTIZED = Prediction("unsure", "nothing was quantized with fixed ranges", 1.0)


def predict(
    model: bytes, executed: onnx.GraphProto, fallen: Collection[str], shapes: Shapes, kernels: str | None = None
) -> Prediction:
    """Return a prediction for a model with Q and DQ.

    Args:
        model: The model as written.
        executed: The graph onnxruntime executes of it.
        fallen: Layers that were quantized and run in float.
        shapes: Full input shapes.
        kernels: What the processor multiplies 8-bit numbers with, None for this machine's.
    """
    written = onnx.load_model_from_string(model).graph
    if not any(node.op_type == "DequantizeLinear" for node in written.node):
        return NOTHING_QUANTIZED
    kernels = load(LOCAL).int8_kernels if kernels is None else kernels
    costs = layer_costs(model, shapes, kernels)
    integer = _integer_layers(written) - {*fallen}
    if not costs or not integer <= costs.keys():
        return Prediction("unsure", "the shapes of its layers cannot be told without running it", 1.0)
    float_us = sum(cost[0] for cost in costs.values())
    layers_us = sum(
        cost[1] if name in integer else cost[0] * (UNBLOCKED if name in fallen else 1.0) for name, cost in costs.items()
    )
    around_us = _around(written, executed, known_shapes(model, shapes))
    shared_us = _CALL + _NODE * sum(node.op_type not in _CONVERSIONS for node in executed.node)
    ratio = (float_us + shared_us) / (layers_us + around_us + shared_us)
    reason = (
        f"layers {layers_us:.0f} us, conversions and joins {around_us:.0f} us, against {float_us:.0f} us in float32, "
        f"and {shared_us:.0f} us of calls for both (predicted): {ratio:.2f} x"
    )
    if kernels not in PROCESSORS:
        return Prediction(
            "unsure", f"no formulas were fitted for {kernels or 'this processor'}; by others {reason}", ratio
        )
    return Prediction("faster" if ratio > _MARGIN else "slower" if ratio < 1 / _MARGIN else "unsure", reason, ratio)


def _integer_layers(graph: onnx.GraphProto) -> set[str]:
    restored = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    kinds = {"Conv", "Gemm", "MatMul"}
    return {n.name for n in graph.node if n.op_type in kinds and restored.issuperset(n.input[:2])}


def _around(written: onnx.GraphProto, executed: onnx.GraphProto, shapes: dict[str, tuple[int, ...]]) -> float:
    """Return microseconds of what float32 does not do: conversions, changes of layout, joins on codes."""
    sizes = _sizes_by_scale(written, shapes)
    producers = {name: node for node in executed.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in executed.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    inputs = {item.name for item in executed.input}
    outputs = {item.name for item in executed.output}
    total = 0.0
    for node in executed.node:
        if node.op_type == "QuantizeLinear":
            source = producers.get(node.input[0])
            changes = node.input[0] in inputs or (source is not None and source.op_type in _FLOAT_BLOCKED)
        elif node.op_type == "DequantizeLinear":
            behind = readers.get(node.output[0], [])
            changes = node.output[0] in outputs or any(reader.op_type in _FLOAT_BLOCKED for reader in behind)
        elif node.op_type in _INTEGER_ELEMENTWISE:
            size = sizes.get(node.input[_SCALE_PLACE.get(node.op_type, 6)], 0)
            total += OVERHEAD + INTEGER_ELEMENTWISE * size / 1e3
            continue
        else:
            continue
        size = sizes.get(node.input[1], 0)
        total += OVERHEAD + (CONVERSION + (LAYOUT if changes else 0.0)) * size / 1e3
    return total


# Where an operator on codes names the scale of its result.
_SCALE_PLACE = {"QLinearConcat": 0, "QLinearLeakyRelu": 3, "QLinearSigmoid": 3, "QLinearSoftmax": 3}


def _sizes_by_scale(graph: onnx.GraphProto, shapes: dict[str, tuple[int, ...]]) -> dict[str, int]:
    """Return scale's name -> elements of the tensor it belongs to."""
    constants = {item.name: math.prod(item.dims) for item in graph.initializer}
    sizes: dict[str, int] = {}
    for node in graph.node:
        if node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
            known = next((shapes[name] for name in (*node.output, node.input[0]) if name in shapes), None)
            size = constants.get(node.input[0], math.prod(known) if known is not None else 0)
            sizes[node.input[1]] = max(sizes.get(node.input[1], 0), size)
    return sizes
