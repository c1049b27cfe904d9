"""Constant terms move into the biases beside them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from rewriting import operators, rewritten, unchanged
from zoo import Net

from optimizer.simplify import fold_shifts


def _shifted_conv(group: int, with_bias: bool, pads: list[int]) -> onnx.ModelProto:
    net = Net(0)
    x = net.add("Sub", ["x", net.constant(np.linspace(-1, 1, 6).reshape(6, 1, 1))])
    bias = [net.constant(np.linspace(0, 1, 8))] if with_bias else []
    weight = net.he(8, 6 // group, 3, 3, fan_in=54)
    net.add("Conv", [x, weight, *bias], "y", group=group, kernel_shape=[3, 3], pads=pads, strides=[2, 1])
    rows, columns = (7 + pads[0] + pads[2] - 3) // 2 + 1, 9 + pads[1] + pads[3] - 2
    return net.model({"x": ["N", 6, 7, 9]}, {"y": ["N", 8, rows, columns]})


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("with_bias", [False, True])
def test_terms_before_a_convolution(group: int, with_bias: bool) -> None:
    """Without padding the Conv alone is left."""
    assert operators(rewritten(_shifted_conv(group, with_bias, [0] * 4), fold_shifts.apply)) == {"Conv": 1}


def test_terms_before_a_padded_convolution_stay() -> None:
    """Padding is zeros behind the shift: at borders a bias would not be the same."""
    assert unchanged(_shifted_conv(1, True, [0, 1, 0, 0]), fold_shifts.apply)


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("with_bias", [False, True])
def test_terms_around_a_dense_layer(transposed: int, with_bias: bool) -> None:
    """Before and behind a Gemm, with and without bias and transB."""
    net = Net(1)
    x = net.add("Add", [net.constant(np.linspace(1, 3, 5)), "x"])
    weight = net.he(*((3, 5) if transposed else (5, 3)), fan_in=5)
    bias = [net.constant([1.0, 2.0, 3.0])] if with_bias else []
    x = net.add("Gemm", [x, weight, *bias], transB=transposed)
    net.add("Sub", [x, net.constant(0.5)], "y")
    model = net.model({"x": ["N", 5]}, {"y": ["N", 3]})
    assert operators(rewritten(model, fold_shifts.apply)) == {"Gemm": 1}


def test_a_term_that_widens_the_tensor_stays() -> None:
    """A row added to [N, 1] makes [N, 3]: that is no bias of one column."""
    net = Net(2)
    x = net.add("Gemm", ["x", net.he(5, 1, fan_in=5)])
    net.add("Add", [x, net.constant([1.0, 2.0, 3.0])], "y")
    assert unchanged(net.model({"x": ["N", 5]}, {"y": ["N", 3]}), fold_shifts.apply)
