"""Zero channels fill the blocks of the kernels."""

from __future__ import annotations

import onnx
import pytest
from rewriting import rewritten, unchanged
from zoo import Net, depthwise_cnn

from optimizer.simplify import pad_channels


def _chain(channels: int, activation: str = "Relu", seen: bool = False, with_bias: bool = True) -> onnx.ModelProto:
    net = Net(0)
    x = net.conv("x", (3, channels), (3, 3), strides=[2, 2])
    x = net.add(activation, [x])
    if with_bias:
        y = net.conv(x, (channels, channels), (3, 3), group=channels)
    else:
        weight = net.he(channels, 1, 3, 3, fan_in=9)
        y = net.add("Conv", [x, weight], kernel_shape=[3, 3], group=channels, pads=[1] * 4)
    y = net.add(activation, [y], "between" if seen else "")
    net.nodes.append(onnx.helper.make_node("Identity", [net.conv(y, (channels, 16), (1, 1))], ["y"]))
    outputs: dict[str, list[int | str]] = {"y": ["N", 16, 5, 5]}
    if seen:
        outputs["between"] = ["N", channels, 5, 5]
    return net.model({"x": ["N", 3, 9, 9]}, outputs)


def _channels(model: onnx.ModelProto) -> list[list[int]]:
    sizes = {item.name: list(item.dims[:2]) for item in model.graph.initializer}
    return [sizes[node.input[1]] for node in model.graph.node if node.op_type == "Conv"]


@pytest.mark.parametrize("activation", ["Relu", "Exp", "Sigmoid"])
@pytest.mark.parametrize("with_bias", [False, True])
def test_a_chain_up_to_the_next_full_convolution(activation: str, with_bias: bool) -> None:
    """Whatever the activation makes of zero, the last weight multiplies it by zero."""
    after = rewritten(_chain(12, activation, with_bias=with_bias), pad_channels.apply)
    assert _channels(after) == [[16, 3], [16, 1], [16, 16]]


def test_the_stem_of_8_channels() -> None:
    """The depthwise stand-in is padded for blocks of 16, and fits blocks of 8 as it is."""
    assert _channels(rewritten(depthwise_cnn(32), pad_channels.apply))[:3] == [[16, 3], [16, 1], [16, 16]]
    assert unchanged(depthwise_cnn(32), pad_channels.to_blocks_of_8)


def test_what_fits_or_is_seen_or_too_small_stays() -> None:
    """Whole blocks, a tensor that is an output, and 3 channels that would grow fivefold."""
    assert unchanged(_chain(16), pad_channels.apply)
    assert unchanged(_chain(12, seen=True), pad_channels.apply)
    assert unchanged(_chain(3), pad_channels.apply)
    assert unchanged(_chain(12, "Reciprocal"), pad_channels.apply)
