"""Where two machines begin to differ, told by layer and in steps."""

from __future__ import annotations

import numpy as np
import onnx
from forms import between_convolutions, noise, simplified, static
from onnx import helper
from places_with_faults import OtherArithmetic, moved_bias

from benchmarks.remote import Form
from devices.places.local import LocalPlace
from optimizer.differences import explain, most_different, not_quantized, quantized_tensors, with_outputs

FEEDS = noise(8)


def net() -> bytes:
    """Return three convolutions in static int8."""
    middle = [helper.make_node("Relu", ["c"], ["m"], "relu1")]
    return static(simplified(between_convolutions(middle), FEEDS), FEEDS)


def test_the_first_layer_that_differs_is_named() -> None:
    """A machine whose second convolution sums otherwise: the layers in front are equal, it is the first named."""
    sums = 2000  # steps of the sums, of which many make one step of the result
    found = explain(Form("net", net()), LocalPlace(), OtherArithmetic(moved_bias("conv1", sums)), FEEDS)
    assert found.problem is None
    assert found.layers[0].layer in {"conv1", "relu1"}
    assert found.layers[0].steps >= 1
    assert 0.0 < found.layers[0].share <= 1.0
    assert 0 < len(found.layers) < found.compared
    assert found.sentences()[1].startswith(f"first {found.layers[0].layer} (")


def test_samples_that_differ_most_are_found() -> None:
    """Those of the largest distance, in their own order; NaN on both sides and other axes do not disturb."""
    feeds = {"x": np.arange(6, dtype=np.float32).reshape(6, 1)}
    first = {"y": np.zeros((6, 2), np.float32), "all": np.zeros(1, np.float32)}
    second = {"y": first["y"].copy(), "all": np.ones(1, np.float32)}
    second["y"][4, 1], second["y"][1, 0], first["y"][2] = 3.0, -2.0, np.nan
    assert most_different(first, second, feeds, 2)["x"].ravel().tolist() == [1.0, 4.0]


def test_machines_that_agree_have_nothing_to_explain() -> None:
    """All quantized tensors are read and found equal, and reading them changes no output."""
    found = explain(Form("net", net()), LocalPlace(), LocalPlace(), FEEDS)
    assert (found.layers, found.faithful, found.problem) == ((), True, None)
    assert found.compared >= 3
    assert found.sentences()[0].startswith(f"all {found.compared} quantized tensors are equal")


def test_a_float_model_is_told_as_such() -> None:
    """Without quantized tensors there are no steps to count."""
    data = between_convolutions([helper.make_node("Relu", ["c"], ["m"], "relu1")]).SerializeToString()
    found = explain(Form("net", data), LocalPlace(), LocalPlace(), FEEDS)
    assert "float" in found.sentences()[0]


def test_a_model_that_cannot_be_read_says_why() -> None:
    """Where the layers cannot be had at one of the places, that is the explanation."""

    def broken(model: onnx.ModelProto) -> None:
        model.graph.node[0].op_type = "NoSuchOperator"

    found = explain(Form("net", net()), LocalPlace(), OtherArithmetic(broken), FEEDS)
    assert "NoSuchOperator" in found.sentences()[0]


def test_quantized_weights_are_no_layers() -> None:
    """Only activations are compared, in the order of the graph, and the model's own outputs stay first."""
    data = net()
    tensors = list(quantized_tensors(data))
    names = [item.name for item in onnx.load_model_from_string(data).graph.initializer]
    assert not set(tensors) & set(names)
    outputs = [output.name for output in onnx.load_model_from_string(with_outputs(data, tensors)).graph.output]
    assert outputs[0] == "y"
    assert [name for name in outputs[1:] if name in tensors] == outputs[1:]


def test_layers_that_nothing_quantizes_are_named() -> None:
    """Where all quantized tensors are equal, the difference is in one of these: here the function behind them."""
    model = onnx.load_model_from_string(net())
    last = next(node for node in model.graph.node if "y" in node.output)
    last.output[0] = "before"
    model.graph.node.append(helper.make_node("Sigmoid", ["before"], ["y"], "squash"))
    assert not_quantized(model.SerializeToString()) == ("squash (Sigmoid)",)
    found = explain(Form("net", model.SerializeToString()), LocalPlace(), LocalPlace(), FEEDS)
    assert "squash (Sigmoid)" in found.sentences()[0]
