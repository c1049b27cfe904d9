"""Give every node a name of its own: layers are kept float, explained and compared by name."""

from __future__ import annotations

import onnx


def apply(data: bytes) -> bytes:
    """Return the model with unique node names; names that are unique already stay."""
    model = onnx.load_model_from_string(data)
    taken: set[str] = set()
    for index, node in enumerate(model.graph.node):
        name = node.name or f"{node.op_type}_{index}"
        while name in taken:
            name = f"{name}_{index}"
        node.name = name
        taken.add(name)
    return model.SerializeToString()
