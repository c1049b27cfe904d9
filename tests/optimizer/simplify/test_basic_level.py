"""What onnxruntime's basic level does already and need not be rebuilt; fails when a release stops doing it."""

from __future__ import annotations

import numpy as np
import onnx
from rewriting import operators, rewritten
from zoo import Net

from optimizer.simplify import fold_graph


def _after(net: Net, output: list[int | str], inputs: list[int | str] | None = None) -> dict[str, int]:
    model = net.model({"x": inputs or ["N", 3, 8, 8]}, {"y": output})
    return operators(rewritten(model, fold_graph.apply))


def test_no_ops_go() -> None:
    """Identity, Dropout, multiplication by one, Cast to the same type."""
    net = Net(0)
    x = net.add("Dropout", [net.add("Identity", [net.add("Relu", ["x"])])])
    x = net.add("Cast", [net.add("Mul", [x, net.constant(1.0)])], to=onnx.TensorProto.FLOAT)
    net.add("Sigmoid", [x], "y")
    assert _after(net, ["N", 3, 8, 8]) == {"Relu": 1, "Sigmoid": 1}


def test_pairs_of_transposes_go() -> None:
    """One that takes back the other, with an activation between them."""
    net = Net(0)
    x = net.add("Relu", [net.add("Transpose", ["x"], perm=[0, 2, 3, 1])])
    net.add("Sigmoid", [net.add("Transpose", [x], perm=[0, 3, 1, 2])], "y")
    assert _after(net, ["N", 3, 8, 8]) == {"Relu": 1, "Sigmoid": 1}


def test_equal_nodes_become_one() -> None:
    """Common subexpressions are computed once."""
    net = Net(0)
    net.add("Add", [net.add("Sigmoid", ["x"]), net.add("Sigmoid", ["x"])], "y")
    assert _after(net, ["N", 3, 8, 8]) == {"Sigmoid": 1, "Add": 1}


def test_factors_terms_and_padding_around_convolutions_are_merged() -> None:
    """Pad before, Mul and Add behind a convolution go into it; MatMul and Add become Gemm."""
    net = Net(0)
    x = net.add("Pad", ["x", net.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64)])
    x = net.conv(x, (3, 4), (3, 3), pads=[0] * 4)
    x = net.add("Add", [net.add("Mul", [x, net.constant(np.full((4, 1, 1), 2.0))]), net.constant(np.ones((4, 1, 1)))])
    net.nodes.append(onnx.helper.make_node("Relu", [net.dense(net.add("Flatten", [x]), (256, 5))], ["y"]))
    assert _after(net, ["N", 5]) == {"Conv": 1, "Flatten": 1, "Gemm": 1, "Relu": 1}


def test_constants_are_computed() -> None:
    """Arithmetic on initializers alone is done once."""
    net = Net(0)
    factor = net.add("Exp", [net.add("Add", [net.constant([0.5]), net.constant([0.25])])])
    net.add("Div", ["x", factor], "y")
    assert _after(net, ["N", 3, 8, 8]) == {"Div": 1}
