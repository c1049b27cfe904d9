"""A pyramid of pools becomes a chain."""

from __future__ import annotations

import onnx
import pytest
from rewriting import rewritten, unchanged
from zoo import Net, nano_detector

from optimizer.simplify import chain_pools


def _kernels(model: onnx.ModelProto) -> list[int]:
    return [
        e.ints[0] for n in model.graph.node if n.op_type == "MaxPool" for e in n.attribute if e.name == "kernel_shape"
    ]


def _pyramid(kernels: list[int], stride: int = 1, side: int = 7) -> onnx.ModelProto:
    net = Net(0)
    pools = [net.add("MaxPool", ["x"], kernel_shape=[k, k], pads=[k // 2] * 4, strides=[stride] * 2) for k in kernels]
    net.add("Concat", pools, "y", axis=1)
    out = (side - 1) // stride + 1
    return net.model({"x": ["N", 2, side, side]}, {"y": ["N", 2 * len(kernels), out, out]})


@pytest.mark.parametrize(
    ("kernels", "chained"),
    [
        ([5, 9, 13], [5, 5, 5]),
        ([13, 5, 9], [5, 5, 5]),
        ([3, 9], [3, 7]),
        ([5, 5, 7], [5, 5, 3]),
    ],
)
def test_pyramids(kernels: list[int], chained: list[int]) -> None:
    """Kernels larger than the image too; the order in the graph does not matter."""
    assert sorted(_kernels(rewritten(_pyramid(kernels), chain_pools.apply))) == sorted(chained)


def test_the_pyramid_of_a_detector() -> None:
    """5, 9 and 13 become three of 5."""
    assert _kernels(rewritten(nano_detector(64), chain_pools.apply)) == [5, 5, 5]


def test_strided_and_single_pools_stay() -> None:
    """With a stride the small pool has lost pixels that the large one needs."""
    assert unchanged(_pyramid([3, 5], stride=2), chain_pools.apply)
    assert unchanged(_pyramid([5]), chain_pools.apply)
    assert unchanged(_pyramid([5, 5]), chain_pools.apply)
