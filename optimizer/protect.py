"""Nodes that must stay float, found by the ranges they were seen to have and by nothing else.

Eight bits are 255 steps across the whole range of a tensor. What is small beside the rest of its tensor gets few of
them: a sensor of 640 to 645 beside one of 9000, scores in 0..1 beside boxes of 600 pixels. Such nodes are named before
anything is judged, because a mean over samples can hide what they lose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edge_runtime.inference.engine import Array
from optimizer.calibrate.observed import Observed
from optimizer.graph import WEIGHTED_OPS
from optimizer.quantizers.wiring import CARRIERS, Wiring, wiring_of

_STEPS = 255.0  # of 8 bits
_FEWEST_STEPS = 8.0  # 3 bits
_SMALL_SHARE = 0.1  # of an output's channels that may have fewer
_ELEMENTWISE = frozenset({"Add", "Div", "Mul", "Sub"})
_JOINS = frozenset({"Add", "Concat", "Max", "Min", "Sub", "Where"})


def protected(data: bytes, histograms: Mapping[str, Observed]) -> dict[str, str]:
    """Return the names of nodes that must stay float, each with the reason in words.

    Args:
        data: The float32 model, its nodes named.
        histograms: What was observed, by tensor; tensors that are not in it protect nothing.
    """
    wiring = wiring_of(onnx.load_model_from_string(data))
    found: dict[str, str] = {}
    for node in wiring.graph.node:
        joined = _uneven_join(wiring, node, histograms)
        reasons = (rule(wiring, node, histograms) for rule in (_uneven_constant, _uneven_input, _uneven_result))
        reason = joined or next((reason for reason in reasons if reason is not None), None)
        if reason is not None:
            found.setdefault(node.name, reason)
        if joined is not None:
            for behind in _until_layers(wiring, node):
                found.setdefault(behind, f"it computes on what {node.name} joins: {joined}")
    return found


def _uneven_join(wiring: Wiring, node: onnx.NodeProto, histograms: Mapping[str, Observed]) -> str | None:
    """Say which input of a join keeps too few steps of the common range."""
    names = [name for name in wiring.data_inputs(node) if name in histograms] if node.op_type in _JOINS else []
    if len(names) < 2:
        return None
    whole = max([_reach(histograms[name]) for name in {*names, node.output[0]} & histograms.keys()])
    for name in names:
        own = histograms[name].high - histograms[name].low
        if 0 < own * _STEPS < _FEWEST_STEPS * whole:
            return (
                f"{name} spans {own:.3g} beside values that span {whole:.3g}: {_bits(own / whole)} of 8 bits would be "
                "left of it"
            )
    return None


def _uneven_constant(wiring: Wiring, node: onnx.NodeProto, histograms: Mapping[str, Observed]) -> str | None:
    """Say that factors or divisors of an elementwise operator are too far apart for one scale."""
    if node.op_type not in {"Div", "Mul"}:
        return None
    for name in node.input:
        if name in wiring.constants and name in wiring.floats:
            sizes = np.abs(numpy_helper.to_array(wiring.constants[name]).astype(np.float64))
            sizes = sizes[sizes > 0]
            if sizes.size and sizes.min() * _STEPS < _FEWEST_STEPS * sizes.max():
                return f"its constants are {sizes.min():.3g} to {sizes.max():.3g}: the small ones would round away"
    return None


def _uneven_input(wiring: Wiring, node: onnx.NodeProto, histograms: Mapping[str, Observed]) -> str | None:
    """Say that the channels a node computes on are too far apart: most of its results would drown in rounding."""
    weight = _channel_weights(wiring, node)
    if weight is None and node.op_type not in _ELEMENTWISE:
        return None
    for name in wiring.data_inputs(node):
        widths = _channel_widths(histograms.get(name))
        if widths is None or (weight is not None and weight.shape[1] * _groups(node) != len(widths)):
            continue
        shares = widths / _reach(histograms[name])
        steps = shares[shares > 0] * _STEPS if weight is None else _steps_of_results(shares, weight, _groups(node))
        if steps.size and float(np.median(steps)) < _FEWEST_STEPS:
            live = widths[widths > 0]
            return (
                f"the channels of {name} span {live.min():.3g} to {live.max():.3g} in a range of "
                f"{_reach(histograms[name]):.3g}: half of its results would keep "
                f"{float(np.median(steps)):.1f} of 255 steps"
            )
    return None


def _uneven_result(wiring: Wiring, node: onnx.NodeProto, histograms: Mapping[str, Observed]) -> str | None:
    """Say that channels of an output tensor are too far apart to share a scale, as boxes and scores are.

    Only a convolution must round its result; a matrix product hands out float32.
    """
    if node.op_type != "Conv" or not _ends_in_an_output(wiring, node):
        return None
    widths = _channel_widths(histograms.get(node.output[0]))
    if widths is None or len(widths) < 2:
        return None
    live = widths[widths > 0]
    few = live * _STEPS < _FEWEST_STEPS * _reach(histograms[node.output[0]])
    if few.sum() <= _SMALL_SHARE * len(live):
        return None
    return (
        f"channels of the output {node.output[0]} span {live.min():.3g} to {live.max():.3g}: "
        f"{int(few.sum())} of {len(live)} would keep fewer than 3 bits"
    )


def _steps_of_results(shares: Array, weight: Array, groups: int) -> Array:
    """Return how many steps of rounding noise each output channel's signal is worth.

    Channels are taken as independent and uniform over their width: the signal's variance is sum(w^2 share^2), that of
    the noise sum(w^2) in units of one step.
    """
    power = (weight.astype(np.float64) ** 2).sum(axis=tuple(range(2, weight.ndim)))  # [out, in / groups]
    per_group = shares.reshape(groups, -1).repeat(len(power) // groups, axis=0)  # [out, in / groups]
    noise = power.sum(axis=1)
    live = (noise > 0) & (power * per_group**2).any(axis=1)
    steps = np.sqrt((power * per_group**2).sum(axis=1)[live] / noise[live]) * _STEPS
    return np.asarray(steps)


def _channel_weights(wiring: Wiring, node: onnx.NodeProto) -> Array | None:
    """Return a layer's weight as [out, in / groups, ...], None where a node has none."""
    if node.op_type not in {"Conv", "Gemm", "MatMul"} or len(node.input) < 2 or node.input[1] not in wiring.constants:
        return None
    weight = numpy_helper.to_array(wiring.constants[node.input[1]])
    if node.op_type == "Conv":
        return weight
    is_transposed = any(item.name == "transB" and item.i for item in node.attribute)
    return (weight if is_transposed else weight.T) if weight.ndim == 2 else None


def _groups(node: onnx.NodeProto) -> int:
    return next((int(item.i) for item in node.attribute if item.name == "group"), 1)


def _channel_widths(observed: Observed | None) -> NDArray[np.float64] | None:
    if observed is None or observed.channel_low is None or observed.channel_high is None:
        return None
    return observed.channel_high.astype(np.float64) - observed.channel_low


def _reach(observed: Observed) -> float:
    """Return the width of the range that codes must cover: 0 always has one."""
    return max(observed.high, 0.0) - min(observed.low, 0.0) or 1.0


def _bits(share: float) -> str:
    return f"{max(float(np.log2(share * _STEPS)), 0.0):.1f}"


def _until_layers(wiring: Wiring, node: onnx.NodeProto) -> Iterator[str]:
    """Yield the nodes behind a join, up to and with the first weighted layers, whose results have their own range."""
    pending, seen = [node], {node.name}
    while pending:
        current = pending.pop()
        if current.op_type in WEIGHTED_OPS:
            continue
        for reader in (reader for name in current.output for reader in wiring.consumers.get(name, [])):
            if reader.name not in seen:
                seen.add(reader.name)
                pending.append(reader)
                yield reader.name


def _ends_in_an_output(wiring: Wiring, node: onnx.NodeProto) -> bool:
    """Tell whether a node's result leaves the graph, moved but not computed with."""
    outputs = {item.name for item in wiring.graph.output}
    pending = [node]
    while pending:
        current = pending.pop()
        if outputs & {*current.output}:
            return True
        readers = [reader for name in current.output for reader in wiring.consumers.get(name, [])]
        pending += [reader for reader in readers if reader.op_type in CARRIERS | {"Concat"}]
    return False
