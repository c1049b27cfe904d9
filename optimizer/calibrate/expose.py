"""Make intermediate tensors of a model readable, and nothing more than these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx


def in_graph_order(data: bytes, tensors: Sequence[str]) -> list[str]:
    """Return the tensors in the order in which the model meets them: inputs, then results node by node."""
    graph = onnx.load_model_from_string(data).graph
    met = [item.name for item in graph.input] + [name for node in graph.node for name in node.output]
    place = {name: index for index, name in enumerate(met)}
    return sorted(set(tensors), key=lambda name: (place.get(name, len(met)), name))


def expose(data: bytes, tensors: Sequence[str]) -> bytes:
    """Return the part of the model that computes the tensors, with them as its only outputs; the inputs all stay."""
    model = onnx.load_model_from_string(data)
    _only_outputs(model.graph, [onnx.ValueInfoProto(name=name) for name in tensors])
    return model.SerializeToString()


def expose_shapes(data: bytes, tensors: Sequence[str]) -> tuple[bytes, dict[str, str]]:
    """Return a model whose outputs are the tensors' shapes, and tensor -> name of its shape.

    It tells how large the tensors are while none of them is kept.
    """
    model = onnx.load_model_from_string(data)
    names = {tensor: f"shape_of:{tensor}" for tensor in tensors}
    for tensor, name in names.items():
        model.graph.node.append(onnx.helper.make_node("Shape", [tensor], [name], name))
    kind = onnx.TensorProto.INT64
    _only_outputs(model.graph, [onnx.helper.make_tensor_value_info(name, kind, None) for name in names.values()])
    return model.SerializeToString(), names


def _only_outputs(graph: onnx.GraphProto, outputs: Sequence[onnx.ValueInfoProto]) -> None:
    """Give the graph these outputs and remove, in place and without copying weights, what none of them needs."""
    del graph.output[:]
    graph.output.extend(outputs)
    needed = {output.name for output in outputs}
    for index in reversed(range(len(graph.node))):  # nodes stand in an order in which inputs are computed before
        if needed.intersection(graph.node[index].output):
            needed.update(_read_by(graph.node[index]))
        else:
            del graph.node[index]
    needed.update(item.name for item in graph.input)
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in needed:
            del graph.initializer[index]


def _read_by(node: onnx.NodeProto) -> Iterator[str]:
    """Yield what a node reads, bodies of control flow included: they may read any tensor around them."""
    yield from node.input
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            for inner in body.node:
                yield from _read_by(inner)
            yield from (output.name for output in body.output)
