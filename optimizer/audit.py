"""What the runtime really executes of a quantized model: integer kernels, layers that fell back to float, conversions.

Quantized models get slow where onnxruntime cannot fuse them: a layer between Q/DQ pairs that finds no integer kernel
runs in float, and pays for the conversions on top. The graph after fusion shows that without running anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from edge_runtime.inference.ort import SessionSettings, executed_graph
from optimizer.cost import Shapes
from optimizer.graph import WEIGHTED_OPS
from optimizer.predict import NOTHING_QUANTIZED, Prediction, predict
from optimizer.saturation import Saturating, saturating_layers
from optimizer.slow_kernels import slow_kernels
from optimizer.strays import INTEGER_KERNELS, Stray, find_strays, rule_of

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
        strays: Operators that run in float between two conversions, in the middle of the int8 region, and the rule.
        slow: Kernels known to be slow, one sentence each.
        saturating: Layers that may compute wrong on x86 without VNNI unless session.x64quantprecision is set, which
            edgeopt does by itself.
        prediction: Whether this form is faster than the same model in float32, predicted from shapes.
    """

    integer: int
    float32: int
    conversions: int
    fell_back: tuple[FellBack, ...]
    strays: tuple[Stray, ...] = ()
    slow: tuple[str, ...] = ()
    saturating: tuple[Saturating, ...] = ()
    prediction: Prediction = NOTHING_QUANTIZED

    @property
    def predicts(self) -> str:
        """Return "faster", "slower" or "unsure", against the same model in float32."""
        return self.prediction.verdict

    @property
    def multiplications_inside(self) -> tuple[str, ...]:
        """Return the float multiplications inside the int8 region."""
        return tuple(stray.node for stray in self.strays if stray.operator in _FLOAT_KERNELS)

    def __str__(self) -> str:
        return f"{self.integer} integer and {self.float32} float multiplications, {self.conversions} conversions"


def audit(model: bytes, settings: SessionSettings, shapes: Shapes | None = None, kernels: str | None = None) -> Audit:
    """Return how onnxruntime executes a model on this machine with these settings.

    Args:
        model: The model as it is served.
        settings: The session's settings.
        shapes: Full input shapes for the prediction; open sizes are taken as 1 where they are not given.
        kernels: The processor that the prediction is for, as `predict` takes it.

    Raises:
        BadInput: E-MODEL-LOAD, the model does not load.
    """
    whole = onnx.load_model_from_string(model)
    written = whole.graph
    executed = onnx.load_model_from_string(executed_graph(model, settings)).graph
    kinds = [node.op_type for node in executed.node]
    float_names = [node.name for node in executed.node if node.op_type in _FLOAT_KERNELS]
    fallen = [node for name, node in _meant_for_integers(written).items() if _among(name, float_names)]
    strays = find_strays(whole, executed)
    return Audit(
        integer=sum(kind in INTEGER_KERNELS for kind in kinds),
        float32=len(float_names),
        conversions=sum(kind in _CONVERSIONS for kind in kinds),
        fell_back=tuple(FellBack(node.name, rule_of(whole, node)) for node in fallen),
        strays=strays,
        slow=tuple(slow_kernels(written, executed, settings)),
        saturating=saturating_layers(model),
        prediction=predict(model, executed, {node.name for node in fallen}, shapes or {}, kernels),
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
