"""What each layer's rounding costs: one layer at a time in int8, everything else in float."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edge_runtime.inference.batch import run_all
from edge_runtime.inference.engine import Array, Feeds
from edge_runtime.inference.ort import OrtEngine
from optimizer.candidates import Ranges
from optimizer.correct.layers import FloatGraph
from optimizer.graph import output_channel_axis, quantize_symmetric
from optimizer.placement import layers_of

_BATCH = 32
_BULK = 0.999  # share of the values that the range without outliers holds


class Counts(Protocol):
    """A histogram of one tensor's values: exact ends, and counts of bins of one width from `edge_low` on."""

    low: float
    high: float
    counts: Array
    edge_low: float
    width: float


@dataclass(frozen=True)
class _Task:
    """One layer's measurement, complete in itself: it may run in another process.

    It holds the shared model, not the layer's own form, so that one form is in memory per worker and not one per layer.
    """

    data: bytes
    layer: str
    ranges: Ranges
    samples: Feeds
    reference: Mapping[str, Array]


def layer_losses(
    data: bytes,
    ranges: Ranges,
    samples: Feeds,
    progress: Callable[[int, int], None],
    executor: Executor | None = None,
) -> dict[str, float]:
    """Return layer name -> noise that its rounding alone puts on the outputs, worst layer first.

    The loss is the mean squared difference to the float32 outputs divided by their variance, summed over outputs: 0 is
    no loss, 1 drowns the signal. The layer's weight is rounded as the quantizer would, and its input and output go
    through 8 bits; no quantizer runs. A layer whose input has no range, or whose weight is no float32 constant, is left
    out.

    Args:
        data: The simplified float32 model, its nodes named.
        ranges: Activation ranges.
        samples: A few samples; all of them run once per layer.
        progress: Called with (layers done, layers in all).
        executor: Measures several layers at a time; the losses are the same without.
    """
    reference = run_all(OrtEngine(data), samples, _BATCH)
    layers = layers_of(data).names
    tasks = [_Task(data, layer, ranges, samples, reference) for layer in layers]
    results: Iterable[float | None] = executor.map(_loss, tasks) if executor else map(_loss, tasks)
    losses = {}
    for done, (layer, loss) in enumerate(zip(layers, results, strict=True), start=1):
        if loss is not None:
            losses[layer] = loss
        progress(done, len(layers))
    return dict(sorted(losses.items(), key=lambda item: -item[1]))


def outlier_ratios(data: bytes, histograms: Mapping[str, Counts]) -> dict[str, float]:
    """Return layer name -> range of its input over the range that holds 99.9 % of the values, worst layer first.

    1 is a range without outliers; at 10 rare values take nine tenths of the steps. Layers without histogram are left
    out. A range starts and ends at zero or beyond, as the quantizer's does.
    """
    graph = FloatGraph(data)
    inputs = {layer.node.name: layer.node.input[0] for layer in graph.layers()}
    ratios = {name: _ratio(histograms[tensor]) for name, tensor in inputs.items() if tensor in histograms}
    return dict(sorted(ratios.items(), key=lambda item: -item[1]))


def _ratio(histogram: Counts) -> float:
    total = histogram.counts.sum()
    if not total:
        return 1.0
    below = np.cumsum(histogram.counts) / total
    tail = (1 - _BULK) / 2
    first = int(np.searchsorted(below, tail, side="right"))
    last = int(np.searchsorted(below, 1 - tail, side="left"))
    low = min(0.0, max(histogram.low, histogram.edge_low + first * histogram.width))
    high = max(0.0, min(histogram.high, histogram.edge_low + (last + 1) * histogram.width))
    whole = max(0.0, histogram.high) - min(0.0, histogram.low)
    return float(whole / (high - low)) if high > low else 1.0


def _rounded(data: bytes, layer: str, ranges: Ranges) -> bytes | None:
    """Return the float model with one layer's weight rounded and its input and output quantized and restored."""
    graph = FloatGraph(data)
    node = next(node for node in graph.model.graph.node if node.name == layer)
    weight = graph.constant(node.input[1])
    if weight is None or node.input[0] not in ranges:
        return None
    axis = output_channel_axis(node, weight.ndim)
    codes, scales = quantize_symmetric(weight, axis)
    shape = [-1 if index == axis else 1 for index in range(weight.ndim)]
    graph.set_constant(node, 1, codes * scales.reshape(shape))
    made = _made_by(graph, node)
    if made.output[0] in ranges:
        raw = graph.free_name(f"{made.output[0]}_raw")
        pair = _eight_bits(graph, raw, made.output[0], ranges[made.output[0]])
        made.output[0] = raw
        _insert(graph, made, pair, behind=True)
    restored = graph.free_name(f"{node.input[0]}_restored")
    pair = _eight_bits(graph, node.input[0], restored, ranges[node.input[0]])
    node.input[0] = restored
    _insert(graph, node, pair, behind=False)
    return graph.serialize()


def _made_by(graph: FloatGraph, node: onnx.NodeProto) -> onnx.NodeProto:
    """Return the node whose output the runtime rounds: the Relu where one follows, since both run as one."""
    user = graph.only_user(node.output[0])
    return user if user is not None and user.op_type == "Relu" else node


def _eight_bits(graph: FloatGraph, source: str, target: str, bounds: tuple[float, float]) -> list[onnx.NodeProto]:
    """Return nodes that make `target` from `source` by way of uint8, zero included, and add their constants."""
    low, high = min(0.0, bounds[0]), max(0.0, bounds[1])
    scale = np.float32((high - low) / 255) if high > low else np.float32(1)
    zero = np.uint8(np.clip(np.rint(-low / float(scale)), 0, 255))
    step, offset, codes = (graph.free_name(f"{source}_{part}") for part in ("step", "zero", "codes"))
    constants: dict[str, Array] = {step: np.array(scale), offset: np.array(zero)}
    graph.model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    return [
        helper.make_node("QuantizeLinear", [source, step, offset], [codes], codes),
        helper.make_node("DequantizeLinear", [codes, step, offset], [target], f"{codes}_restored"),
    ]


def _insert(graph: FloatGraph, beside: onnx.NodeProto, pair: list[onnx.NodeProto], *, behind: bool) -> None:
    nodes = graph.model.graph.node
    place = next(index for index, other in enumerate(nodes) if other.name == beside.name) + behind
    for new in reversed(pair):
        nodes.insert(place, new)


def _loss(task: _Task) -> float | None:
    form = _rounded(task.data, task.layer, task.ranges)
    if form is None:
        return None
    outputs = run_all(OrtEngine(form), task.samples, _BATCH)
    total = 0.0
    for name, expected in task.reference.items():
        if np.issubdtype(expected.dtype, np.floating):
            difference = outputs[name].astype(np.float64) - expected
            total += float(np.mean(difference**2) / max(float(np.var(expected)), 1e-12))
    return total
