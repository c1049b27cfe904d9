"""What tests of quantized forms share: ranges from a run, how close two models compute, small convolutional nets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from models import model_of
from numpy.typing import NDArray
from onnx import helper

from edge_runtime.inference.ort import OrtEngine, SessionSettings, executed_graph
from optimizer.calibrate.observe import observe
from optimizer.calibrate.ranges import ranges_of as read
from optimizer.data import Dataset
from optimizer.quantize import quantize, tensors_to_observe
from optimizer.recipe import Recipe
from optimizer.schemes import Int8Static
from optimizer.simplify import simplify

Feeds = dict[str, NDArray[Any]]
Ranges = dict[str, tuple[float, float]]
node = helper.make_node


@dataclass(frozen=True)
class Seen:
    """Stands for what a histogram knows of a tensor."""

    low: float
    high: float
    channel_low: NDArray[np.float32] | None = None
    channel_high: NDArray[np.float32] | None = None


def seen(values: NDArray[Any]) -> Seen:
    """Return what was seen of one tensor."""
    if values.ndim < 2:
        return Seen(float(values.min()), float(values.max()))
    others = tuple(axis for axis in range(values.ndim) if axis != 1)
    return Seen(float(values.min()), float(values.max()), values.min(axis=others), values.max(axis=others))


def activations(data: bytes, feeds: Feeds, tensors: Sequence[str]) -> Feeds:
    """Return the named tensors' values."""
    model = onnx.load_model_from_string(data)
    there = {item.name for item in (*model.graph.output, *model.graph.input)}
    for name in tensors:
        if name not in there:
            model.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    values = {**feeds, **OrtEngine(model.SerializeToString(), SessionSettings(optimize=False)).run(feeds)}
    return {name: values[name] for name in tensors}


def simplified(model: onnx.ModelProto, feeds: Feeds) -> bytes:
    """Return the model as quantizers get it."""
    return simplify(model.SerializeToString(), {name: values[:1] for name, values in feeds.items()}).data


def ranges_of(data: bytes, feeds: Feeds) -> Ranges:
    """Return the smallest and largest value of every tensor a form may need."""
    samples = Dataset(feeds, None, next(iter(feeds)))
    return read(observe(data, tensors_to_observe(data), samples, lambda done, total: None), "minmax")


def static(data: bytes, feeds: Feeds, **recipe: Any) -> bytes:
    """Return the static int8 form."""
    return quantize(data, Recipe(Int8Static(), **recipe), ranges_of(data, feeds))


def decibels(data: bytes, other: bytes, feeds: Feeds, settings: SessionSettings | None = None) -> float:
    """Return the lowest signal-to-noise ratio over the float outputs."""
    expected, actual = OrtEngine(data).run(feeds), OrtEngine(other, settings).run(feeds)
    ratios = []
    for name, values in expected.items():
        noise = np.mean((values.astype(np.float64) - actual[name]) ** 2)
        ratios.append(10 * np.log10(np.mean(values.astype(np.float64) ** 2) / max(noise, 1e-30)))
    return float(min(ratios))


def executed(data: bytes, settings: SessionSettings | None = None) -> Counter[str]:
    """Return the operators that onnxruntime executes."""
    graph = onnx.load_model_from_string(executed_graph(data, settings or SessionSettings())).graph
    return Counter(node.op_type for node in graph.node)


def between_convolutions(
    middle: Sequence[onnx.NodeProto],
    weights: dict[str, NDArray[Any]] | None = None,
    *,
    channels: tuple[int, int] = (16, 16),
    opset: int = 17,
    side: int = 16,
) -> onnx.ModelProto:
    """Return conv0, relu0, conv1, `middle` from tensor `c` to tensor `m`, conv2: x [N,C,side,side] -> y.

    `r0` is the tensor in front of conv1; `channels` = (those of x, those of m).
    """
    random = np.random.default_rng(0)
    first, last = channels

    def he(*shape: int) -> NDArray[np.float32]:
        return random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)

    constants = {
        "w0": he(first, first, 3, 3),
        "b0": random.normal(0, 0.1, first).astype(np.float32),
        "w1": he(first, first, 3, 3),
        "b1": random.normal(0, 0.1, first).astype(np.float32),
        "w2": he(8, last, 3, 3),
        **(weights or {}),
    }
    nodes = [
        node("Conv", ["x", "w0", "b0"], ["c0"], "conv0", pads=[1, 1, 1, 1]),
        node("Relu", ["c0"], ["r0"], "relu0"),
        node("Conv", ["r0", "w1", "b1"], ["c"], "conv1", pads=[1, 1, 1, 1]),
        *middle,
        node("Conv", ["m", "w2"], ["y"], "conv2", pads=[1, 1, 1, 1]),
    ]
    return model_of(nodes, constants, {"x": ["N", first, side, side]}, {"y": ["N", 8, "H", "W"]}, opset)


def noise(count: int, channels: int = 16, side: int = 16, seed: int = 0) -> Feeds:
    """Return inputs for `between_convolutions`."""
    values = np.random.default_rng(seed).normal(0, 1, (count, channels, side, side))
    return {"x": values.astype(np.float32)}
