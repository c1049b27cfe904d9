"""What really executes of a form: onnxruntime's graph after fusion, or what another engine says of itself."""

from __future__ import annotations

from collections import Counter

import onnx

from edge_runtime.inference.openvino import OpenVinoEngine
from edge_runtime.inference.ort import executed_graph
from optimizer.audit import Audit, audit
from optimizer.candidates import Candidate
from optimizer.cost import Shapes
from optimizer.load import count_operators

_MULTIPLYING = frozenset({"Convolution", "Deconvolution", "FullyConnected", "FullyConnectedQuantizedLegacy", "MatMul"})
_CONVERSIONS = frozenset({"Convert", "FakeQuantize", "Reorder"})


def audited(form: Candidate, shapes: Shapes) -> Audit:
    """Return how a form is executed by its engine on this machine; see `optimizer.audit.audit`."""
    if not form.is_elsewhere:
        return audit(form.data, form.settings, shapes)
    executed = _executed_elsewhere(form)
    kernels = [kernel.lower() for layer, kernel in executed if layer in _MULTIPLYING]
    integer = sum(kernel.endswith(("i8", "u8")) for kernel in kernels)
    return Audit(integer, len(kernels) - integer, sum(layer in _CONVERSIONS for layer, _ in executed), ())


def operators(form: Candidate) -> dict[str, int]:
    """Return operator type -> count as its engine executes it; the words of the engine's own."""
    if form.is_elsewhere:
        return dict(Counter(layer for layer, _ in _executed_elsewhere(form)))
    return count_operators(onnx.load_model_from_string(executed_graph(form.data, form.settings)).graph)


def _executed_elsewhere(form: Candidate) -> list[tuple[str, str]]:
    """Return layers and kernels; none of an engine that does not tell."""
    engine = form.engine()
    return engine.executed() if isinstance(engine, OpenVinoEngine) else []
