"""Why a quantized model answers otherwise on another machine: the first layers whose int8 results differ, in steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from benchmarks import remote
from benchmarks.remote import Form
from devices.places.place import Place
from edge_runtime.inference.engine import Array, SampleFeeds

_BATCH = 32  # as golden samples are checked
_SHOWN = 3
_QUANTIZED = {"QuantizeLinear": 0, "DynamicQuantizeLinear": 0}  # operator -> which of its outputs is in steps


@dataclass(frozen=True)
class LayerDifference:
    """A layer whose quantized result differs between two places.

    Attributes:
        layer: Name of the node whose result is quantized.
        operator: Its kind.
        integer: Whether it takes quantized values; else it computes in float, and the difference is float rounding.
        tensor: The quantized tensor.
        steps: Largest difference, in steps of its scale.
        share: Share of its elements that differ.
    """

    layer: str
    operator: str
    integer: bool
    tensor: str
    steps: int
    share: float

    def __str__(self) -> str:
        arithmetic = "in integers" if self.integer else "in float"
        steps = f"{self.steps} step{'' if self.steps == 1 else 's'}"
        return f"{self.layer} ({self.operator} {arithmetic}): up to {steps} in {self.share:.2%} of its values"


@dataclass(frozen=True)
class Explanation:
    """Where two places begin to differ.

    Attributes:
        layers: Layers that differ, in the order of the graph: the first has equal inputs wherever they are quantized.
        compared: Quantized tensors compared.
        behind: Layers whose results are not quantized: where it differs if all quantized tensors are equal.
        faithful: Whether the outputs stayed what they were while the tensors between were read. Reading one keeps
            onnxruntime from fusing across it, and where that moves a rounding, it is not shown where it happened.
        problem: Why nothing was compared, None where it was.
    """

    layers: tuple[LayerDifference, ...] = ()
    compared: int = 0
    behind: tuple[str, ...] = ()
    faithful: bool = True
    problem: str | None = None

    def sentences(self) -> list[str]:
        """Return the explanation in sentences, without full stops."""
        if self.problem:
            return [self.problem]
        found = [f"{len(self.layers)} of {self.compared} quantized tensors differ"]
        if not self.layers:
            equal = f"all {self.compared} quantized tensors are equal"
            found = [f"{equal}, so float layers behind them round otherwise{_named(self.behind)}"]
        found += [f"{'first' if index == 0 else 'then'} {layer}" for index, layer in enumerate(self.layers[:_SHOWN])]
        if not self.faithful:
            found.append("reading the tensors kept some layers from being fused, which moved the rounding itself")
        return found


def explain(form: Form, here: Place, there: Place, feeds: SampleFeeds) -> Explanation:
    """Run a model at both places with its quantized tensors as further outputs, and compare them.

    Args:
        form: The model as it is served.
        here: The place whose answers are the reference.
        there: The other.
        feeds: Samples on which the two answered differently.

    Raises:
        EnvironmentFault: E-PLACE-…: a place does not do as asked.
    """
    tensors = quantized_tensors(form.model)
    if not tensors:
        return Explanation(problem="it computes in float, where every instruction set rounds in its own order")
    exposed = Form("exposed", with_outputs(form.model, list(tensors)), form.settings, form.engine)
    plain = Form("plain", form.model, form.settings, form.engine)
    answers = [remote.outputs(place, [plain, exposed], feeds, _BATCH) for place in (here, there)]
    for answer in answers:
        if answer.failures:
            failed = "; ".join(answer.failures.values())
            return Explanation(problem=f"its layers cannot be read at both places: {failed}")
    first, second = (answer.outputs["exposed"] for answer in answers)
    faithful = all(_undisturbed(answer.outputs["plain"], answer.outputs["exposed"]) for answer in answers)
    layers = tuple(_differing(form.model, tensors, first, second))
    return Explanation(layers, len(tensors), not_quantized(form.model), faithful)


def most_different(
    first: Mapping[str, Array], second: Mapping[str, Array], feeds: SampleFeeds, count: int
) -> dict[str, Array]:
    """Return the samples whose answers differ most between two places, in their order.

    Args:
        first: Outputs at one place, samples along their first axes.
        second: Those at the other.
        feeds: All samples.
        count: How many to return.
    """
    samples = len(next(iter(feeds.values())))
    apart = np.zeros(samples)
    for name, array in first.items():
        if len(array) == samples and np.issubdtype(array.dtype, np.number):
            distance = np.abs(second[name].astype(np.float64) - array.astype(np.float64)).reshape(samples, -1)
            apart += np.nan_to_num(distance.max(axis=1, initial=0.0))
    worst = sorted(np.argsort(-apart, kind="stable")[:count].tolist())
    return {name: np.concatenate([array[index : index + 1] for index in worst]) for name, array in feeds.items()}


def quantized_tensors(model: bytes) -> dict[str, str]:
    """Return the quantized activations in graph order, each with the float tensor it was made of."""
    graph = onnx.load_model_from_string(model).graph
    constants = {item.name for item in graph.initializer}
    constants |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
    return {
        node.output[_QUANTIZED[node.op_type]]: node.input[0]
        for node in graph.node
        if node.op_type in _QUANTIZED and node.input[0] not in constants
    }


def not_quantized(model: bytes) -> tuple[str, ...]:
    """Return the layers whose results nothing quantizes, in graph order, each with its operator."""
    graph = onnx.load_model_from_string(model).graph
    between = {*_QUANTIZED, "DequantizeLinear", "Constant"}
    quantized = {node.input[0] for node in graph.node if node.op_type in _QUANTIZED}
    return tuple(
        f"{node.name or node.output[0]} ({node.op_type})"
        for node in graph.node
        if node.op_type not in between and not quantized.intersection(node.output)
    )


def with_outputs(model: bytes, tensors: list[str]) -> bytes:
    """Return the model with tensors as outputs behind its own."""
    whole = onnx.load_model_from_string(model)
    own = {output.name for output in whole.graph.output}
    whole.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in own)
    return whole.SerializeToString()


def _named(layers: tuple[str, ...]) -> str:
    """Return the last layers in words: the nearer to the output, the likelier."""
    if not layers:
        return ""
    return f": {'…, ' if len(layers) > _SHOWN else ''}{', '.join(layers[-_SHOWN:])}"


def _undisturbed(plain: Mapping[str, Array], exposed: Mapping[str, Array]) -> bool:
    return all(np.array_equal(array, exposed[name], equal_nan=True) for name, array in plain.items())


def _differing(
    model: bytes, tensors: Mapping[str, str], first: Mapping[str, Array], second: Mapping[str, Array]
) -> list[LayerDifference]:
    graph = onnx.load_model_from_string(model).graph
    producers = {output: node for node in graph.node for output in node.output}
    found = []
    for tensor, source in tensors.items():
        steps = np.abs(first[tensor].astype(np.int32) - second[tensor].astype(np.int32))
        if not steps.any():
            continue
        node = producers.get(source)
        fed = [producers[name].op_type for name in node.input if name in producers] if node else []
        found.append(
            LayerDifference(
                layer=(node.name or source) if node else source,
                operator=node.op_type if node else "input",
                integer="DequantizeLinear" in fed,
                tensor=tensor,
                steps=int(steps.max()),
                share=float(np.count_nonzero(steps) / steps.size),
            )
        )
    return found
