"""Concats: split into sums of convolutions, and joined behind the Transpose instead of before it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from rewriting import operators, rewritten, unchanged
from zoo import Net, nano_detector

from optimizer.simplify import detector_tail, split_concat


def _joined(parts: int, kernel: int = 1, users: int = 1, with_bias: bool = True, stride: int = 1) -> onnx.ModelProto:
    net = Net(0)
    pieces = [net.conv("x", (3, 4 + part), (3, 3)) for part in range(parts)]
    width = sum(4 + part for part in range(parts))
    joined = net.add("Concat", pieces, axis=-3 if stride == 3 else 1)
    outputs = []
    for index in range(users):
        bias = [net.constant(np.linspace(0, 1, 5))] if with_bias else []
        weight = net.he(5, width, kernel, kernel, fan_in=width)
        geometry = {"kernel_shape": [kernel] * 2, "pads": [kernel // 2] * 4, "strides": [stride] * 2}
        outputs.append(net.add("Conv", [joined, weight, *bias], f"y{index}", **geometry))
    return net.model({"x": ["N", 3, 6, 7]}, {name: ["N", 5, -(-6 // stride), -(-7 // stride)] for name in outputs})


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("users", [1, 2])
@pytest.mark.parametrize("with_bias", [False, True])
def test_pointwise_convolutions_over_a_concat(parts: int, users: int, with_bias: bool) -> None:
    """Each becomes a sum; the bias is added once; the Concat goes."""
    after = operators(rewritten(_joined(parts, users=users, with_bias=with_bias), split_concat.apply))
    assert after == {"Conv": parts + users * parts, "Add": users * (parts - 1)}


def test_larger_kernels_and_strides_stay() -> None:
    """Only 1 x 1 convolutions gain: others would pay per part what they paid once."""
    assert unchanged(_joined(2, kernel=3), split_concat.apply)
    assert unchanged(_joined(2, stride=2), split_concat.apply)


def test_a_concat_that_others_read_stays() -> None:
    """The joined tensor would have to be written anyway."""
    net = Net(1)
    joined = net.add("Concat", [net.conv("x", (3, 4), (3, 3)), "x"], "joined", axis=1)
    net.nodes.append(onnx.helper.make_node("Relu", [net.conv(joined, (7, 4), (1, 1))], ["y"]))
    model = net.model({"x": ["N", 3, 6, 6]}, {"y": ["N", 4, 6, 6], "joined": ["N", 7, 6, 6]})
    assert unchanged(model, split_concat.apply)


def test_the_tail_of_a_detector() -> None:
    """One Transpose per level, before the Concat."""
    after = operators(rewritten(nano_detector(64), detector_tail.apply))
    assert after["Transpose"] == 3


def test_a_tail_that_joins_other_things_stays() -> None:
    """A level that is no flattened image, and a Concat without Transpose."""
    net = Net(2)
    flat = net.add("Reshape", ["x", net.constant([0, 4, -1], np.int64)])
    turned = net.add("Concat", [flat, "z"], axis=2)
    net.add("Transpose", [turned], "y", perm=[0, 2, 1])
    model = net.model({"x": ["N", 4, 3, 3], "z": ["N", 4, 5]}, {"y": ["N", 14, 4]})
    assert unchanged(model, detector_tail.apply)
