"""Fold constants and batch norms and drop no-ops, by onnxruntime's own basic-level optimizer."""

from __future__ import annotations

import onnx

from edge_runtime.inference.ort import simplify_graph
from optimizer.graph import drop_unused_domains


def apply(data: bytes) -> bytes:
    """Return the folded model, without the operator-set imports that onnxruntime adds and nothing uses."""
    model = onnx.load_model_from_string(simplify_graph(data))
    drop_unused_domains(model)
    return model.SerializeToString()
