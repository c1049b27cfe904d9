"""Give tensors with very long names short ones: exporters write whole histories there, once per use.

Every quantized tensor names three or four others after itself, so that in small models the names outweigh the weights.
Names of inputs, outputs and nodes stay: they are what people and programs refer to.
"""

from __future__ import annotations

import onnx

from optimizer.graph import nodes

_LONG = 40  # characters


def apply(data: bytes) -> bytes:
    """Return the model with no internal tensor name longer than 40 characters; the same bytes where none is."""
    model = onnx.load_model_from_string(data)
    graph = model.graph
    fixed = {item.name for item in (*graph.input, *graph.output)}
    everywhere = list(nodes(graph))
    used = {name for node in everywhere for name in (*node.input, *node.output)} | {i.name for i in graph.initializer}
    made = [item.name for item in graph.initializer] + [name for node in graph.node for name in node.output]
    long = [name for name in dict.fromkeys(made) if len(name) > _LONG and name not in fixed]
    if not long:
        return data
    short = _numbered(long, used | fixed)
    for node in everywhere:  # bodies of control flow refer to tensors outside by name
        node.input[:] = [short.get(name, name) for name in node.input]
        node.output[:] = [short.get(name, name) for name in node.output]
    for constant in graph.initializer:
        constant.name = short.get(constant.name, constant.name)
    for value in graph.value_info:
        value.name = short.get(value.name, value.name)
    for annotation in graph.quantization_annotation:
        annotation.tensor_name = short.get(annotation.tensor_name, annotation.tensor_name)
    return model.SerializeToString()


def _numbered(names: list[str], taken: set[str]) -> dict[str, str]:
    """Return a short name, in use nowhere, for each."""
    free = (name for name in (f"t{index}" for index in range(len(names) + len(taken))) if name not in taken)
    return dict(zip(names, free, strict=False))
