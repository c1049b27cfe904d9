"""[x A, x B, x C] = Split(x [A B C]): products of one tensor with several weights become one product.

1. MatMuls of one tensor with constant matrices, two or more; each may be followed by an Add of a constant row.
2. One MatMul with the weights side by side, one Add with the rows side by side, and a Split.
"""

from __future__ import annotations

import numpy as np
import onnx

from edge_runtime.inference.engine import Array
from optimizer.simplify.editor import Editor, rewrite


def apply(data: bytes) -> bytes:
    """Return the model with products merged."""
    return rewrite(data, _once)


def _once(graph: Editor) -> bool:
    for source in dict.fromkeys(node.input[0] for node in graph.find("MatMul")):
        products = [node for node in graph.users(source) if _is_product(graph, node, source)]
        rows = [_row(graph, node) for node in products]
        biased = [(node, row) for node, row in zip(products, rows, strict=True) if row is not None]
        if len(biased) > 1:
            _merge(graph, source, [node for node, _ in biased], [row for _, row in biased])
            return True
        if len(products) > 1 and not biased:
            _merge(graph, source, products, [])
            return True
    return False


def _is_product(graph: Editor, node: onnx.NodeProto, source: str) -> bool:
    if node.op_type != "MatMul" or node.input[0] != source:
        return False
    weight = graph.constant(node.input[1])
    return weight is not None and weight.ndim == 2


def _row(graph: Editor, product: onnx.NodeProto) -> tuple[onnx.NodeProto, Array] | None:
    """Return the Add behind a product and its row."""
    add = graph.only_user(product.output[0], "Add")
    weight = graph.constant(product.input[1])
    for name in add.input if add else ():
        row = graph.constant(name)
        if add is not None and row is not None and weight is not None and row.shape == weight.shape[1:]:
            return add, row
    return None


def _merge(
    graph: Editor, source: str, products: list[onnx.NodeProto], rows: list[tuple[onnx.NodeProto, Array]]
) -> None:
    weights = [weight for node in products if (weight := graph.constant(node.input[1])) is not None]
    side_by_side = graph.add_constant(np.concatenate(weights, axis=1), "side_by_side")
    new = [graph.node("MatMul", [source, side_by_side])]
    if rows:
        row = graph.add_constant(np.concatenate([values for _, values in rows]), "rows_side_by_side")
        new.append(graph.node("Add", [new[-1].output[0], row]))
    ends = [add for add, _ in rows] or products
    sizes = graph.add_constant(np.array([weight.shape[1] for weight in weights], np.int64), "split_sizes")
    split = graph.node("Split", [new[-1].output[0], sizes], ends[0].output[0], axis=-1)
    split.output.extend(node.output[0] for node in ends[1:])
    new.append(split)
    graph.replace([*products, *(add for add, _ in rows)], new)
