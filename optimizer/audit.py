"""What the runtime really executes of a quantized model: integer kernels, layers that fell back to float, conversions.

Quantized models get slow where onnxruntime cannot fuse them: a layer between Q/DQ pairs that finds no integer kernel
runs in float, and pays for the conversions on top. The graph after fusion shows that without running anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from edge_runtime.inference.ort import SessionSettings, executed_graph
from optimizer.graph import WEIGHTED_OPS

_INTEGER_KERNELS = frozenset(
    {
        "ConvInteger",
        "DynamicQuantizeMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "QGemm",
        "QLinearConv",
        "QLinearConvTranspose",
        "QLinearMatMul",
    }
)
_FLOAT_KERNELS = frozenset({*WEIGHTED_OPS, "FusedConv", "FusedGemm", "FusedMatMul"})
_CONVERSIONS = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})


@dataclass(frozen=True)
class FellBack:
    """A layer that was quantized in the file and runs in float, and why."""

    layer: str
    reason: str


@dataclass(frozen=True)
class Audit:
    """How a model is executed.

    Attributes:
        integer: Multiplying operators on integer kernels.
        float32: Multiplying operators on float kernels.
        conversions: Quantize and dequantize operators left.
        fell_back: Layers meant for integer kernels that run in float.
    """

    integer: int
    float32: int
    conversions: int
    fell_back: tuple[FellBack, ...]

    def __str__(self) -> str:
        return f"{self.integer} integer and {self.float32} float multiplications, {self.conversions} conversions"


def audit(model: bytes, settings: SessionSettings) -> Audit:
    """Return how onnxruntime executes a model on this machine with these settings.

    Raises:
        BadInput: E-MODEL-LOAD, the model does not load.
    """
    written = onnx.load_model_from_string(model).graph
    executed = onnx.load_model_from_string(executed_graph(model, settings)).graph
    kinds = [node.op_type for node in executed.node]
    float_names = [node.name for node in executed.node if node.op_type in _FLOAT_KERNELS]
    meant = _meant_for_integers(written)
    return Audit(
        integer=sum(kind in _INTEGER_KERNELS for kind in kinds),
        float32=len(float_names),
        conversions=sum(kind in _CONVERSIONS for kind in kinds),
        fell_back=tuple(
            FellBack(name, _why(written, node)) for name, node in meant.items() if _among(name, float_names)
        ),
    )


def _meant_for_integers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """Return the multiplying nodes whose data and weight both come out of a DequantizeLinear."""
    restored = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    return {
        node.name: node
        for node in graph.node
        if node.op_type in WEIGHTED_OPS and node.input[0] in restored and node.input[1] in restored
    }


def _among(layer: str, executed: Sequence[str]) -> bool:
    """Tell whether one of the executed nodes is this layer; fusions append to the name."""
    return any(name == layer or name.startswith((f"{layer}_", f"{layer}/")) for name in executed)


def _why(graph: onnx.GraphProto, node: onnx.NodeProto) -> str:
    consumers = sorted({other.op_type for other in graph.node if node.output[0] in other.input})
    if consumers != ["QuantizeLinear"]:
        return f"its result goes to {', '.join(consumers) or 'the output'} without being quantized"
    return "onnxruntime has no integer kernel for these types here"
