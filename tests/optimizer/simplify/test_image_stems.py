"""Stems: NHWC images read as rows, and dealt pixels convolved on the image itself."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from rewriting import operators, rewritten, unchanged
from zoo import Net, depthwise_cnn, nano_detector

from edge_runtime.inference.ort import simplify_graph
from optimizer.simplify import focus_stem, nhwc_input


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("strides", [[1, 1], [2, 3]])
@pytest.mark.parametrize("with_bias", [False, True])
def test_nhwc_rows(channels: int, strides: list[int], with_bias: bool) -> None:
    """Odd sizes, uneven pads, any stride: Reshape and Conv are left."""
    net = Net(0)
    x = net.add("Transpose", ["x"], perm=[0, 3, 1, 2])
    bias = [net.constant(np.linspace(0, 1, 5))] if with_bias else []
    geometry = {"kernel_shape": [3, 2], "strides": strides, "pads": [1, 0, 0, 1], "dilations": [2, 1]}
    net.add("Conv", [x, net.he(5, channels, 3, 2, fan_in=9), *bias], "y", **geometry)
    rows, columns = (9 + 1 - 5) // strides[0] + 1, (7 + 1 - 2) // strides[1] + 1
    model = net.model({"x": ["N", 9, 7, channels]}, {"y": ["N", 5, rows, columns]})
    assert operators(rewritten(model, nhwc_input.apply)) == {"Reshape": 1, "Conv": 1}


@pytest.mark.parametrize(
    ("channels", "group", "dilation", "perm"),
    [
        (8, 1, 1, [0, 3, 1, 2]),
        (3, 3, 1, [0, 3, 1, 2]),
        (3, 1, 2, [0, 3, 1, 2]),
        (3, 1, 1, [0, 3, 2, 1]),
    ],
)
def test_other_transposes_stay(channels: int, group: int, dilation: int, perm: list[int]) -> None:
    """Many channels, groups, dilation along the row, another order: not this rewrite's."""
    net = Net(0)
    x = net.add("Transpose", ["x"], perm=perm)
    weight = net.he(6, channels // group, 1, 3, fan_in=9)
    net.add("Conv", [x, weight], "y", kernel_shape=[1, 3], dilations=[1, dilation], group=group)
    model = net.model({"x": ["N", 9, 9, channels]}, {"y": ["N", 6, 9, 9 - 2 * dilation]})
    assert unchanged(model, nhwc_input.apply)


def test_a_transposed_image_that_two_read_stays() -> None:
    """The Transpose would be needed for the other reader anyway."""
    net = Net(0)
    x = net.add("Transpose", ["x"], perm=[0, 3, 1, 2])
    net.add("Concat", [net.conv(x, (3, 4), (3, 3)), x], "y", axis=1)
    assert unchanged(net.model({"x": ["N", 8, 8, 3]}, {"y": ["N", 7, 8, 8]}), nhwc_input.apply)


def test_the_stem_of_a_real_layout() -> None:
    """The depthwise stand-in loses its Transpose."""
    assert "Transpose" not in operators(rewritten(depthwise_cnn(32), nhwc_input.apply))


@pytest.mark.parametrize("folded", [False, True])
def test_focus(folded: bool) -> None:
    """Slices and Concat, or what onnxruntime makes of them, become one 6 x 6 convolution."""
    model = nano_detector(32)
    if folded:
        model = onnx.load_model_from_string(simplify_graph(model.SerializeToString()))
        assert operators(model)["SpaceToDepth"] == 1
    after = rewritten(model, focus_stem.apply)
    assert operators(after)["Slice"] == 3
    assert "SpaceToDepth" not in operators(after)
    kernels = [list(e.ints) for n in after.graph.node for e in n.attribute if e.name == "kernel_shape"]
    assert kernels[0] == [6, 6]


def _dealt(side: int, channels: int, group: int = 1, seen: bool = False) -> onnx.ModelProto:
    net = Net(1)
    x = net.add("SpaceToDepth", ["x"], "dealt", blocksize=2)
    weight = net.he(8, 4 * channels // group, 3, 3, fan_in=36)
    net.add("Conv", [x, weight], "y", kernel_shape=[3, 3], strides=[2, 1], pads=[1, 0, 0, 1], group=group)
    half = side // 2
    outputs: dict[str, list[int | str]] = {"y": ["N", 8, (half - 2) // 2 + 1, half - 1]}
    if seen:
        outputs["dealt"] = ["N", 4 * channels, half, half]
    return net.model({"x": ["N", channels, side, side]}, outputs)


@pytest.mark.parametrize("channels", [1, 3])
def test_space_to_depth(channels: int) -> None:
    """Strides and uneven pads double as well."""
    assert operators(rewritten(_dealt(10, channels), focus_stem.apply)) == {"Conv": 1}


def test_dealt_pixels_in_groups_or_seen_by_others_stay() -> None:
    """Groups would cut the image's channels; an output must still be made."""
    assert unchanged(_dealt(10, 2, group=2), focus_stem.apply)
    assert unchanged(_dealt(10, 2, seen=True), focus_stem.apply)
