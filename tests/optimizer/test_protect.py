"""Nodes that must stay float, by what was seen of their tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from forms import Feeds, Seen, activations, between_convolutions, node, noise, seen, simplified
from models import model_of, residual_convnet
from zoo import ZOO, feeds_for

from edge_runtime.inference.ort import OrtEngine
from optimizer.protect import protected
from optimizer.quantize import quantize, tensors_to_observe
from optimizer.recipe import Recipe
from optimizer.schemes import Int8Static

RAW = Int8Static(also=("Sub", "Div", "Mul"))


def _histograms(data: bytes, feeds: Feeds, scheme: Int8Static | None = None) -> dict[str, Seen]:
    tensors = tensors_to_observe(data, [scheme or Int8Static()])
    return {name: seen(values) for name, values in activations(data, feeds, tensors).items()}


@pytest.mark.parametrize("name", ["conv1d", "depthwise_cnn", "mlp", "mobile_cnn", "transformer_encoder"])
def test_well_scaled_networks_need_no_protection(name: str) -> None:
    """Channels of one order of magnitude are what eight bits are made for."""
    model = ZOO[name]()
    feeds = feeds_for(model, 4)
    data = simplified(model, feeds)
    assert protected(data, _histograms(data, feeds)) == {}


def _sensors(spread: float) -> tuple[bytes, Feeds]:
    """Return a network on raw sensors and readings whose widths lie `spread` apart."""
    random = np.random.default_rng(0)
    width = np.logspace(0, np.log10(spread), 8).astype(np.float32)
    centre = np.linspace(10, 20 * spread, 8).astype(np.float32)
    weights = {
        "mean": centre.reshape(1, 8),
        "deviation": width.reshape(1, 8),
        "w": random.normal(0, 0.3, (8, 16)).astype(np.float32),
        "v": random.normal(0, 0.3, (16, 2)).astype(np.float32),
    }
    nodes = [
        node("Sub", ["x", "mean"], ["centred"], "a"),
        node("Div", ["centred", "deviation"], ["scaled"], "b"),
        node("MatMul", ["scaled", "w"], ["h"], "c"),
        node("Relu", ["h"], ["r"], "d"),
        node("MatMul", ["r", "v"], ["y"], "e"),
    ]
    readings = (random.normal(0, 1, (200, 8)) * width + centre).astype(np.float32)
    return model_of(nodes, weights, {"x": ["N", 8]}, {"y": ["N", 2]}).SerializeToString(), {"x": readings}


def test_raw_sensors_are_protected_until_they_are_normalized() -> None:
    """Sensors of widths 1 to 1000 in one tensor: what normalizes them stays float, what follows need not."""
    data, feeds = _sensors(1000)
    found = protected(data, _histograms(data, feeds, RAW))
    assert set(found) == {"a", "b"}
    assert "x" in found["a"]
    assert "255 steps" in found["a"]


def test_a_layer_on_raw_sensors_is_protected() -> None:
    """A network that was never taught to normalize inside: its first layer would compute on rounded-off sensors."""
    random = np.random.default_rng(0)
    width = np.logspace(-2, 2, 8).astype(np.float32)
    weights = {
        "w": (random.normal(0, 0.3, (8, 16)) / width[:, None]).astype(np.float32),
        "v": random.normal(0, 0.3, (16, 2)).astype(np.float32),
    }
    nodes = [
        node("MatMul", ["x", "w"], ["h"], "c"),
        node("Relu", ["h"], ["r"], "d"),
        node("MatMul", ["r", "v"], ["y"], "e"),
    ]
    data = model_of(nodes, weights, {"x": ["N", 8]}, {"y": ["N", 2]}).SerializeToString()
    feeds: Feeds = {"x": (random.normal(0, 1, (100, 8)) * width).astype(np.float32)}
    assert set(protected(data, _histograms(data, feeds))) == {"c"}


def test_a_depthwise_layer_behind_an_outlier_channel_is_protected() -> None:
    """One channel a thousand times wider leaves the others almost no steps; an even one is fine."""
    weights = {"wd": np.random.default_rng(0).normal(0, 0.3, (16, 1, 3, 3)).astype(np.float32)}
    middle = [
        node("Relu", ["c"], ["q"], "relu1"),
        node("Conv", ["q", "wd"], ["m"], "depthwise", group=16, pads=[1, 1, 1, 1]),
    ]
    model = between_convolutions(middle, weights)
    assert protected(simplified(model, noise(4)), _histograms(model.SerializeToString(), noise(4))) == {}
    for item in model.graph.initializer:
        if item.name in {"w1", "b1"}:
            values = onnx.numpy_helper.to_array(item).copy()
            values[3] *= 1000
            item.CopyFrom(onnx.numpy_helper.from_array(values, item.name))
    data = model.SerializeToString()
    found = protected(data, _histograms(data, noise(4)))
    assert "depthwise" in found
    assert "conv1" not in found


def test_boxes_that_join_scores_protect_the_tail() -> None:
    """Boxes of hundreds of pixels and scores in 0..1 share a tensor: the join and all behind it stay float."""
    model = ZOO["nano_detector"]()
    feeds = {name: np.abs(values) for name, values in feeds_for(model).items()}
    data = simplified(model, feeds)
    graph = onnx.load_model_from_string(data).graph
    histograms = _histograms(data, feeds)
    found = protected(data, histograms)
    last = next(item for item in graph.node if "boxes" in item.output)
    assert histograms["boxes"].high > 100
    assert last.name in found
    assert not [item.name for item in graph.node if item.op_type == "Conv" and item.name in found]


def test_one_tensor_of_boxes_and_scores_protects_the_layer_that_makes_it() -> None:
    """Without a join, the last convolution's output channels tell."""
    random = np.random.default_rng(0)
    weights = {
        "w": random.normal(0, 0.3, (16, 3, 3, 3)).astype(np.float32),
        "v": random.normal(0, 0.3, (6, 16, 1, 1)).astype(np.float32),
    }
    weights["v"][:2] *= 500
    nodes = [node("Conv", ["x", "w"], ["h"], "stem"), node("Conv", ["h", "v"], ["y"], "head")]
    data = model_of(nodes, weights, {"x": ["N", 3, 16, 16]}, {"y": ["N", 6, 14, 14]}).SerializeToString()
    feeds: Feeds = {"x": random.normal(0, 1, (4, 3, 16, 16)).astype(np.float32)}
    found = protected(data, _histograms(data, feeds))
    assert set(found) == {"head"}
    assert "4 of 6" in found["head"]


def test_layers_behind_an_uneven_join_are_protected_up_to_the_next_layers() -> None:
    """What the layers behind the join compute has a range of its own again."""
    random = np.random.default_rng(0)
    weights = {
        "w": random.normal(0, 0.3, (8, 8)).astype(np.float32),
        "v": random.normal(0, 0.3, (8, 2)).astype(np.float32),
    }
    nodes = [
        node("Concat", ["x", "z"], ["j"], "join", axis=1),
        node("MatMul", ["j", "w"], ["h"], "behind"),
        node("Relu", ["h"], ["r"], "relu"),
        node("MatMul", ["r", "v"], ["y"], "further"),
    ]
    data = model_of(nodes, weights, {"x": ["N", 4], "z": ["N", 4]}, {"y": ["N", 2]}).SerializeToString()
    histograms = {"x": Seen(0, 1), "z": Seen(0, 500), "j": Seen(0, 500), "h": Seen(-90, 90), "r": Seen(0, 90)}
    assert set(protected(data, histograms)) == {"join", "behind"}
    even = histograms | {"z": Seen(0, 2), "j": Seen(0, 2)}
    assert protected(data, even) == {}


def test_nothing_is_protected_by_its_name() -> None:
    """The same graph with other names and other ranges is judged by the ranges."""
    data, feeds = _sensors(2)
    assert protected(data, _histograms(data, {"x": feeds["x"] - feeds["x"].mean(axis=0)}, RAW)) == {}
    assert protected(residual_convnet().SerializeToString(), {}) == {}


@pytest.mark.parametrize("percentile", [100.0, 99.99, 99.9])
def test_turbofan_survives_with_its_normalization_protected(percentile: float, assets: Path) -> None:
    """Rounding raw sensors multiplies the error; what is protected keeps it, however ranges are read."""
    data = (assets / "turbofan_rul" / "model.onnx").read_bytes()
    calibration, test = (np.load(assets / "turbofan_rul" / name) for name in ("calib.npz", "test.npz"))
    name = onnx.load_model_from_string(data).graph.input[0].name
    feeds: Feeds = {name: calibration["x"].astype(np.float32)}
    data = simplified(onnx.load_model_from_string(data), feeds)
    values = activations(data, feeds, tensors_to_observe(data, [RAW]))
    found = protected(data, {tensor: seen(array) for tensor, array in values.items()})
    ends = (100 - percentile, percentile)
    ranges = {tensor: tuple(map(float, np.percentile(array, ends))) for tensor, array in values.items()}

    def error(form: bytes) -> float:
        rul = OrtEngine(form).run({name: test["x"].astype(np.float32)})
        return float(np.sqrt(np.mean((next(iter(rul.values())).reshape(-1) - test["y"].reshape(-1)) ** 2)))

    as_float = error(data)
    assert error(quantize(data, Recipe(Int8Static()), ranges)) < as_float * 1.02
    assert error(quantize(data, Recipe(RAW, keep_float=tuple(found)), ranges)) < as_float * 1.02
    assert error(quantize(data, Recipe(RAW), ranges)) > as_float * 2
