"""Images that are higher than wide are turned."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from rewriting import operators, rewritten, unchanged
from zoo import Net, depthwise_cnn

from optimizer.simplify import turn_images


def _high(start: str, pool: str = "GlobalAveragePool", width: int = 6) -> onnx.ModelProto:
    """A 40 x 6 image through uneven kernels, a residual, a gate per channel, and a pool."""
    net = Net(0)
    channels = 1 if start == "Reshape" else 3
    shape = {"Reshape": ["N", 40, width, 1], "Transpose": ["N", 40, width, 3], "": ["N", 3, 40, width]}[start]
    x = "x"
    if start == "Reshape":
        x = net.add("Reshape", ["x", net.constant([-1, 1, 40, width], np.int64)])
    elif start == "Transpose":
        x = net.add("Transpose", ["x"], perm=[0, 3, 1, 2])
    x = net.conv(x, (channels, 8), (5, 2), strides=[2, 1], pads=[1, 0, 2, 1])
    y = net.conv(net.add("Relu", [x]), (8, 8), (3, 1), group=8, pads=[1, 0, 1, 0])
    x = net.add("Mul", [net.add("Add", [x, y]), net.constant(np.linspace(1, 2, 8).reshape(8, 1, 1))])
    x = net.add("Mul", [x, net.add("Sigmoid", [net.add("GlobalAveragePool", [x])])])
    x = net.add("Concat", [x, y], axis=1)
    x = net.add("MaxPool", [x], kernel_shape=[3, 1], strides=[2, 1], pads=[1, 0, 1, 0])
    if pool == "GlobalAveragePool":
        net.add("Flatten", [net.add(pool, [x])], "y")
        return net.model({"x": shape}, {"y": ["N", 16]})
    net.add("Flatten", [x], "y")
    return net.model({"x": shape}, {"y": ["N", 16 * 10 * width]})


@pytest.mark.parametrize(("start", "transposes"), [("Reshape", 1), ("Transpose", 1), ("", 1)])
def test_a_high_image_is_turned_at_its_start(start: str, transposes: int) -> None:
    """One Transpose, in the place of what was there; kernels are transposed."""
    after = rewritten(_high(start), turn_images.apply)
    assert operators(after).get("Transpose") == transposes
    assert "Reshape" not in operators(after)
    first = next(node for node in after.graph.node if node.op_type == "Conv")
    attributes = {entry.name: list(entry.ints) for entry in first.attribute}
    assert attributes["kernel_shape"] == [2, 5]
    assert attributes["strides"] == [1, 2]
    assert attributes["pads"] == [0, 1, 1, 2]


def test_an_image_that_leaves_as_an_image_stays() -> None:
    """Flatten of more than one pixel depends on the order of rows and columns."""
    assert unchanged(_high("", pool="none"), turn_images.apply)


def test_square_images_stay() -> None:
    """Turning gains nothing there."""
    assert unchanged(depthwise_cnn(), turn_images.apply)
    assert unchanged(_high("", width=30), turn_images.apply)
