"""Constant factors move into the weights beside them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from rewriting import operators, rewritten, unchanged
from zoo import Net, mlp

from optimizer.simplify import fold_scales


def _scaled_conv(op: str, factors: object, group: int = 1, **attributes: object) -> onnx.ModelProto:
    net = Net(0)
    x = net.add(op, ["x", net.constant(factors)])
    net.add("Conv", [x, net.he(8, 6 // group, 3, 3, fan_in=54)], "y", group=group, kernel_shape=[3, 3], **attributes)
    side = 7 if "pads" in attributes else 5
    return net.model({"x": ["N", 6, 7, 7]}, {"y": ["N", 8, side, side]})


@pytest.mark.parametrize("op", ["Mul", "Div"])
@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("factors", [np.float32(0.25), np.linspace(0.5, 2, 6).reshape(1, 6, 1, 1)])
def test_factors_before_a_padded_convolution(op: str, group: int, factors: object) -> None:
    """One factor or one per channel, groups, padding: the Conv alone is left."""
    model = _scaled_conv(op, factors, group, pads=[1, 1, 1, 1])
    assert operators(rewritten(model, fold_scales.apply)) == {"Conv": 1}


def test_factors_along_another_axis_stay() -> None:
    """A factor per column is none per channel."""
    assert unchanged(_scaled_conv("Mul", np.linspace(0.5, 2, 7)), fold_scales.apply)


def test_division_by_zero_stays() -> None:
    """Infinity is what the user's model computes then."""
    assert unchanged(_scaled_conv("Div", np.zeros(1)), fold_scales.apply)


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("with_bias", [False, True])
def test_factors_around_a_dense_layer(transposed: int, with_bias: bool) -> None:
    """Before and behind a Gemm, with and without bias and transB."""
    net = Net(1)
    x = net.add("Div", ["x", net.constant(np.linspace(1, 3, 5))])
    weight = net.he(*((3, 5) if transposed else (5, 3)), fan_in=5)
    bias = [net.constant([1.0, 2.0, 3.0])] if with_bias else []
    x = net.add("Gemm", [x, weight, *bias], transB=transposed)
    net.add("Mul", [net.constant([2.0, 0.5, -1.0]), x], "y")
    model = net.model({"x": ["N", 5]}, {"y": ["N", 3]})
    assert operators(rewritten(model, fold_scales.apply)) == {"Gemm": 1}


def test_a_tensor_that_others_read_stays() -> None:
    """The scaled tensor is an output as well: folding would only add work."""
    net = Net(2)
    net.add("Mul", ["x", net.constant(2.0)], "scaled")
    net.add("Gemm", ["scaled", net.he(5, 3, fan_in=5)], "y")
    model = net.model({"x": ["N", 5]}, {"y": ["N", 3], "scaled": ["N", 5]})
    assert unchanged(model, fold_scales.apply)


def test_scaling_of_sensor_values() -> None:
    """The Div in front goes, the Sub before it stays for the rewrite of terms."""
    assert operators(rewritten(mlp(), fold_scales.apply)) == {"Sub": 1, "Gemm": 3, "Relu": 2, "Softmax": 1}
