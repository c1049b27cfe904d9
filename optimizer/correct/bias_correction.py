"""Take each layer's mean rounding error, channel by channel, out of its bias.

Rounding weights and clipping activations shift the mean of a layer's output; a bias can take a shift back at no cost.
Sources: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction"; Finkelstein et al.
2019, "Fighting Quantization Bias With Bias".
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper

from edge_runtime.inference.engine import Array, Feeds
from edge_runtime.inference.ort import OrtEngine, SessionSettings
from optimizer.correct.activations import full_batches, watched
from optimizer.correct.layers import FloatGraph, Layer, Shape, attribute
from optimizer.graph import opset_of

_BATCH = 64  # samples whose mean error is taken together
_AXES_AS_INPUT = 18  # the opset in which ReduceMean takes its axes as an input
_PREFIX = "edgeopt_correction_"


def apply(data: bytes, quantized: Callable[[bytes], bytes], samples: Feeds) -> bytes:
    """Return the model with corrected biases; unchanged where no layer has a place for one.

    A bias is added where a layer has none: as the third input of a convolution or Gemm, in the Add behind a MatMul, and
    for a MatMul of rank 2 by making it a Gemm of the same name.

    Args:
        data: The simplified float32 model.
        quantized: Builds the int8 form of a float model.
        samples: Calibration samples; 32 or more, since the mean is taken over them.
    """
    graph = FloatGraph(data)
    shapes = graph.shapes()
    layers = [layer for layer in graph.layers() if _has_place(graph, layer, shapes)]
    shifts = _shifts(data, quantized(data), layers, samples) if layers else {}
    for layer in layers:
        if layer.node.name in shifts:
            _add_to_bias(graph, layer, shifts[layer.node.name])
    return graph.serialize() if shifts else data


def _shifts(data: bytes, rounded: bytes, layers: list[Layer], samples: Feeds) -> dict[str, Array]:
    """Return node name -> what each channel's bias must gain, layers in order so that earlier gains are seen.

    The quantized model corrects itself while it runs: behind each layer stands the float32 mean of its output, given
    from outside, minus the mean it has, added to every value. So one pass is enough, however many layers there are. The
    means are those of one batch; where there are several, the gains are averaged.
    """
    known = {node.name for node in onnx.load_model_from_string(rounded).graph.node}
    seen = [layer for layer in layers if layer.node.name in known]
    if not seen:
        return {}
    observed = watched(data, [layer.node.output[0] for layer in seen])
    correcting = OrtEngine(_correct_itself(rounded, seen), SessionSettings(optimize=False))
    totals = {layer.node.name: np.zeros(layer.channels) for layer in seen}
    done = 0
    for count, batch in full_batches(observed, samples, _BATCH):
        outputs = observed.run(batch)
        means = {f"{_PREFIX}mean_{i}": _mean(outputs[x.node.output[0]], x) for i, x in enumerate(seen)}
        done += count
        gains = correcting.run({**batch, **means})
        for index, layer in enumerate(seen):
            totals[layer.node.name] += count * gains[f"{_PREFIX}gain_{index}"].reshape(-1)
    return {name: total / done for name, total in totals.items()}


def _mean(output: Array, layer: Layer) -> Array:
    axes = tuple(axis for axis in range(output.ndim) if axis != layer.channel_axis % output.ndim)
    return np.asarray(output.mean(axis=axes, keepdims=True, dtype=np.float64), dtype=np.float32)


def _correct_itself(rounded: bytes, layers: list[Layer]) -> bytes:
    """Return the quantized model with a mean to hold behind each layer: y + (mean - ReduceMean(y)).

    Layers are found by node name: the quantizer renames tensors and drops a Relu that its ranges replace. The axes of
    the mean follow from the given mean's shape, whose sizes are 1 except along the channels.
    """
    model = onnx.load_model_from_string(rounded)
    graph = model.graph
    found = {node.name: node for node in graph.node}
    for index, layer in enumerate(layers):
        node = found[layer.node.name]
        mean, gain, raw = (f"{_PREFIX}{part}_{index}" for part in ("mean", "gain", "raw"))
        out = node.output[0]
        node.output[0] = raw
        own = f"{_PREFIX}own_{index}"
        graph.node.extend(_own_mean(raw, own, layer, opset_of(model)))
        graph.node.append(helper.make_node("Sub", [mean, own], [gain], name=gain))
        graph.node.append(helper.make_node("Add", [raw, gain], [out], name=f"{_PREFIX}add_{index}"))
        graph.input.append(helper.make_tensor_value_info(mean, onnx.TensorProto.FLOAT, None))
        graph.output.append(helper.make_tensor_value_info(gain, onnx.TensorProto.FLOAT, None))
    return model.SerializeToString()


def _own_mean(tensor: str, name: str, layer: Layer, opset: int) -> list[onnx.NodeProto]:
    """Return nodes that compute the mean per channel of a layer's output, shaped to be added to it."""
    spatial = layer.weight.ndim - 2 if layer.channel_axis == 1 else 0
    flat = [0, layer.channels, -1] if layer.channel_axis == 1 else [-1, layer.channels]
    axes = [0, 2] if layer.channel_axis == 1 else [0]
    parts = {key: f"{name}_{key}" for key in ("shape", "flattened", "axes", "mean", "target")}
    constants = {"shape": flat, "axes": axes, "target": [1, layer.channels, *[1] * spatial]}
    nodes = [
        helper.make_node("Constant", [], [parts[key]], f"{name}_{key}", value_ints=value)
        for key, value in constants.items()
    ]
    nodes.append(helper.make_node("Reshape", [tensor, parts["shape"]], [parts["flattened"]], f"{name}_reshape"))
    if opset >= _AXES_AS_INPUT:
        nodes.append(helper.make_node("ReduceMean", [parts["flattened"], parts["axes"]], [parts["mean"]], f"{name}_m"))
    else:
        nodes.append(helper.make_node("ReduceMean", [parts["flattened"]], [parts["mean"]], f"{name}_m", axes=axes))
    nodes.append(helper.make_node("Reshape", [parts["mean"], parts["target"]], [name], f"{name}_target"))
    return nodes


def _has_place(graph: FloatGraph, layer: Layer, shapes: dict[str, Shape]) -> bool:
    node = layer.node
    if node.op_type == "Gemm" and attribute(node, "beta", 1.0) != 1.0:
        return False
    return graph.bias_of(layer) is not None or (node.op_type == "MatMul" and len(shapes.get(node.input[0], ())) == 2)


def _add_to_bias(graph: FloatGraph, layer: Layer, gain: Array) -> None:
    place = graph.bias_of(layer)
    if place is None:
        layer.node.op_type = "Gemm"  # the same product for two dimensions, with a place for a bias
        place = layer.node, 2
    node, index = place
    old = graph.constant(node.input[index]) if index < len(node.input) else None
    graph.set_constant(node, index, gain if old is None else old + gain)
