"""What a model's own constants say about its inputs: statistics of its first batch normalisation, or of its input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from edge_runtime.inference.batch import run_all
from edge_runtime.inference.engine import Array
from edge_runtime.inference.ort import OrtEngine
from optimizer.lint.excerpt import Excerpt

_LINEAR = frozenset(
    {"Add", "Cast", "Conv", "Div", "Gemm", "Identity", "MatMul", "Mul", "Pad", "Reshape", "Squeeze", "Sub"}
    | {"Transpose", "Unsqueeze"}
)
_MOVING = frozenset({"Cast", "Identity", "Transpose"})
# Factors that bring 8-bit values to about 1: 1/255, 1/256, 1/127.5, 1/128.
_EIGHT_BIT_FACTORS = (1 / 300, 1 / 100)


@dataclass(frozen=True)
class Expected:
    """A tensor right behind an input, and the mean and variance of its channels (axis 1) in training."""

    tensor: str
    mean: Array
    variance: Array


class Graph:
    """A model's nodes by what they read, and its constants."""

    def __init__(self, data: bytes) -> None:
        self.model = onnx.load_model_from_string(data)
        graph = self.model.graph
        self.constants = {item.name: item for item in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                self.constants.update((node.output[0], a.t) for a in node.attribute if a.name == "value")
        self.users: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)

    def value(self, name: str) -> Array | None:
        """Return a constant's value, None where the tensor is none."""
        return numpy_helper.to_array(self.constants[name]) if name in self.constants else None

    def only_reads(self, node: onnx.NodeProto, tensor: str) -> bool:
        """Tell whether all other inputs of a node are constants."""
        return all(name == tensor or not name or name in self.constants for name in node.input)


def batch_normalisations(graph: Graph, start: str) -> Iterator[Expected]:
    """Yield every batch normalisation that only linear operators separate from an input."""
    waiting, seen = [start], {start}
    while waiting:
        tensor = waiting.pop()
        for node in graph.users.get(tensor, ()):
            if node.op_type == "BatchNormalization" and node.input[0] == tensor:
                mean, variance = graph.value(node.input[3]), graph.value(node.input[4])
                if mean is not None and variance is not None:
                    yield Expected(tensor, mean.astype(np.float64), variance.astype(np.float64))
            elif node.op_type in _LINEAR and graph.only_reads(node, tensor) and node.output[0] not in seen:
                seen.add(node.output[0])
                waiting.append(node.output[0])


def normalised(graph: Graph, start: str) -> str | None:
    """Return the tensor that the model makes of its input with constants, so that it is about standard normal.

    Only a subtraction together with a division, or a factor that is typical of 8-bit values, is taken for that.
    """
    tensor, shifted, scaled, eight_bit = start, False, False, False
    while True:
        users = graph.users.get(tensor, [])
        node = users[0] if len(users) == 1 else None
        if node is None or not graph.only_reads(node, tensor):
            break
        if node.op_type in {"Add", "Sub"}:
            shifted = True
        elif node.op_type in {"Div", "Mul"}:
            scaled, eight_bit = True, eight_bit or _is_eight_bit(graph, node)
        elif node.op_type not in _MOVING:
            break
        tensor = node.output[0]
    return tensor if (shifted and scaled) or eight_bit else None


def _is_eight_bit(graph: Graph, node: onnx.NodeProto) -> bool:
    value = graph.value(node.input[1])
    if value is None or not value.size or not np.issubdtype(value.dtype, np.floating) or not value.all():
        return False
    factor = 1 / np.abs(value) if node.op_type == "Div" else np.abs(value)
    return bool((factor > _EIGHT_BIT_FACTORS[0]).all() and (factor < _EIGHT_BIT_FACTORS[1]).all())


def engine_for(graph: Graph, tensors: Sequence[str]) -> OrtEngine:
    """Return an engine of just the part of the model that makes these tensors."""
    needed, kept = set(tensors), []
    for node in reversed(graph.model.graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    part = onnx.ModelProto()
    part.CopyFrom(graph.model)
    del part.graph.node[:], part.graph.output[:]
    part.graph.node.extend(reversed(kept))
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    return OrtEngine(part.SerializeToString())


def misfit(engine: OrtEngine, expected: Sequence[Expected], excerpt: Excerpt) -> float:
    """Return how far channels are from their statistics in training; about 0.1 to 0.5 for the right data.

    It is the mean over channels of the distance of means, in standard deviations, and of the logarithm of the ratio of
    standard deviations; over all normalisations at once.
    """
    outputs = run_all(engine, excerpt.feeds)
    distances = []
    for item in expected:
        values = outputs[item.tensor].astype(np.float64)
        others = tuple(axis for axis in range(values.ndim) if axis != 1)
        variance = item.variance + 1e-5  # the epsilon of the operator's definition
        distances.append(np.abs(values.mean(axis=others) - item.mean) / np.sqrt(variance))
        distances[-1] += np.abs(np.log((values.var(axis=others) + 1e-5) / variance)) / 2
    return float(np.concatenate(distances).mean())
