"""1-D convolutions become 2-D ones over images of one row."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from rewriting import operators, rewritten, unchanged
from zoo import Net, conv1d, depthwise_cnn

from optimizer.simplify import signals_as_images


def _kernels(model: onnx.ModelProto) -> list[list[int]]:
    return [list(e.ints) for n in model.graph.node for e in n.attribute if e.name == "kernel_shape"]


def test_a_chain_of_convolutions_is_rewritten_as_a_whole() -> None:
    """One Unsqueeze at the start; the first kernel takes the 6 channels as rows; Flatten needs no Squeeze."""
    after = rewritten(conv1d(), signals_as_images.apply)
    assert operators(after)["Unsqueeze"] == 1
    assert "Squeeze" not in operators(after)
    assert _kernels(after) == [[6, 7], [1, 2], [1, 5], [1, 3]]


@pytest.mark.parametrize(("channels", "group"), [(8, 1), (6, 2), (3, 1), (4, 4)])
@pytest.mark.parametrize("with_bias", [False, True])
def test_groups_strides_dilations_and_uneven_pads(channels: int, group: int, with_bias: bool) -> None:
    """The result is squeezed where it leaves the region as a model output."""
    net = Net(0)
    bias = [net.constant(np.linspace(0, 1, 8))] if with_bias else []
    weight = net.he(8, channels // group, 3, fan_in=9)
    geometry = {"kernel_shape": [3], "strides": [2], "dilations": [2], "pads": [3, 1], "group": group}
    net.add("Conv", ["x", weight, *bias], "y", **geometry)
    after = rewritten(net.model({"x": ["N", channels, 15]}, {"y": ["N", 8, 8]}), signals_as_images.apply)
    assert operators(after) == {"Unsqueeze": 1, "Conv": 1, "Squeeze": 1}


def test_residuals_constants_and_outer_readers() -> None:
    """Adds of two branches and of constants per channel stay inside; Transpose outside reads a Squeeze."""
    net = Net(1)
    a = net.conv("x", (16, 16), (3,))
    b = net.conv(net.add("Relu", [a]), (16, 16), (5,))
    c = net.add("Mul", [net.add("Add", [a, b]), net.constant(np.linspace(1, 2, 16).reshape(1, 16, 1))])
    d = net.add("Concat", [net.add("Add", [c, net.constant(0.5)]), a], axis=-2)
    net.add("Transpose", [d], "y", perm=[0, 2, 1])
    after = rewritten(net.model({"x": ["N", 16, 20]}, {"y": ["N", 20, 32]}), signals_as_images.apply)
    assert operators(after)["Squeeze"] == 1


def test_images_and_open_lengths_stay() -> None:
    """2-D models and signals of open length are left alone."""
    net = Net(2)
    net.add("Conv", ["x", net.he(8, 4, 3, fan_in=12)], "y", kernel_shape=[3], pads=[1, 1])
    assert unchanged(net.model({"x": ["N", 4, "L"]}, {"y": ["N", 8, "L"]}), signals_as_images.apply)
    assert unchanged(depthwise_cnn(), signals_as_images.apply)
