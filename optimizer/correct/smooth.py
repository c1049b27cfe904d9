"""Move outliers from the input of matrix products into their weights, where a normalisation stands before them.

Behind a LayerNormalization few channels are often tens of times larger than the rest, and one scale has to serve them
all; weights have room. Each channel j is divided by s_j = max|X_j|^a / max|W_j|^(1-a) in the normalisation's own scale
and offset, and multiplied in every weight that reads it: the float32 function stays the same, and no node is added.
Source: Xiao et al. 2022, "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import onnx

from edge_runtime.inference.engine import Array, Feeds
from optimizer.correct.activations import channel_peaks
from optimizer.correct.layers import FloatGraph, Layer, attribute

ALPHA = 0.5  # the paper's choice for models without extreme outliers


@dataclass(frozen=True)
class _Site:
    """One normalised tensor.

    Attributes:
        tensor: What the products read; its channels lie along the last axis.
        constants: (node, input index) of each scale and offset that makes it, the sizes of all channels.
        layers: Every product that reads it.
    """

    tensor: str
    constants: tuple[tuple[onnx.NodeProto, int], ...]
    layers: tuple[Layer, ...]


def apply(data: bytes, quantized: Callable[[bytes], bytes], samples: Feeds) -> bytes:
    """Return the same function with smoother product inputs; unchanged where there is nothing to fold a factor into.

    A site is the output of LayerNormalization, or of Mul by a constant per channel with or without Add of one behind it
    (a normalisation written out), that is read by MatMul and Gemm with constant weights and by nothing else.

    Args:
        data: The simplified float32 model.
        quantized: Not needed.
        samples: Calibration samples; the largest magnitude of each channel is observed on them.
    """
    del quantized
    graph = FloatGraph(data)
    sites = [site for node in graph.model.graph.node if (site := _site(graph, node)) is not None]
    if not sites:
        return data
    peaks = channel_peaks(data, {site.tensor: -1 for site in sites}, samples)
    for site in sites:
        factor = smoothing_factor(peaks[site.tensor], site.layers)
        for node, index in site.constants:
            constant = graph.constant(node.input[index])
            if constant is not None:
                graph.set_constant(node, index, constant / factor)
        for layer in site.layers:
            graph.set_constant(layer.node, 1, layer.weight * layer.along_inputs(factor))
    return graph.serialize()


def smoothing_factor(peaks: Array, layers: Sequence[Layer], alpha: float = ALPHA) -> Array:
    """Return s (channels,) in float64: 1 for a channel that no sample or no weight uses.

    Args:
        peaks: Largest magnitude of each channel on the samples (channels,).
        layers: The products that read the tensor; the largest weight of all of them counts.
        alpha: How much of the difference goes into the weights, 0 to 1.
    """
    taken = reduce(np.maximum, (layer.input_peaks() for layer in layers)).astype(np.float64)
    used = (peaks > 0) & (taken > 0)
    magnitude, weight = np.where(used, peaks, 1.0).astype(np.float64), np.where(used, taken, 1.0)
    return np.asarray(magnitude**alpha / weight ** (1 - alpha))


def _site(graph: FloatGraph, node: onnx.NodeProto) -> _Site | None:
    constants = _scale_and_offset(graph, node)
    if not constants:
        return None
    tensor = node.output[0]
    layers = [graph.layer_of(user) for user in graph.users.get(tensor, ())]
    found = tuple(layer for layer in layers if layer is not None and _reads_rows(layer, tensor))
    if not found or len(found) < len(layers) or tensor in graph.outputs:
        return None
    channels = found[0].input_channels
    sizes = {array.shape for n, index in constants if (array := graph.constant(n.input[index])) is not None}
    return _Site(tensor, constants, found) if all(shape[-1:] == (channels,) for shape in sizes) else None


def _reads_rows(layer: Layer, tensor: str) -> bool:
    node = layer.node
    return node.op_type in {"MatMul", "Gemm"} and node.input[0] == tensor and not attribute(node, "transA", 0)


def _scale_and_offset(graph: FloatGraph, node: onnx.NodeProto) -> tuple[tuple[onnx.NodeProto, int], ...]:
    """Return where the constants per channel stand that make a node's output; nothing where it is no normalisation."""
    if node.op_type == "LayerNormalization":
        last = attribute(node, "axis", -1) == -1 and not any(node.output[1:])
        places = [(node, index) for index in range(1, len(node.input)) if node.input[index]]
        return tuple(places) if last and all(n.input[i] in graph.constants for n, i in places) else ()
    if node.op_type == "Mul":
        index = _constant_index(graph, node)
        return ((node, index),) if index is not None else ()
    if node.op_type == "Add":
        index = _constant_index(graph, node)
        scale = graph.producers.get(node.input[1 - index]) if index is not None else None
        if index is None or scale is None or scale.op_type != "Mul" or graph.only_user(scale.output[0]) is None:
            return ()
        inner = _scale_and_offset(graph, scale)
        return (*inner, (node, index)) if inner else ()
    return ()


def _constant_index(graph: FloatGraph, node: onnx.NodeProto) -> int | None:
    """Return the index of the one constant input of a node with two inputs."""
    found = [index for index, name in enumerate(node.input) if name in graph.constants]
    return found[0] if len(found) == 1 and len(node.input) == 2 else None
