"""Scales and zero points: how a range, a weight or a bias becomes integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_runtime.inference.engine import Array
from optimizer.quantizers.region import Region
from optimizer.quantizers.wiring import CARRIERS, Wiring

_LARGEST_INT32 = 2**31 - 2
_ALIKE = 1.25  # inputs of a Concat this near to the joint range share it: 0.3 bit for a copy instead of a lookup


@dataclass(frozen=True)
class Encoding:
    """How a tensor's values become integers: value = scale * (code - zero_point).

    Attributes:
        scale: float32, shape ().
        zero_point: An integer of the code's type, shape ().
    """

    scale: Array
    zero_point: Array

    @property
    def bounds(self) -> tuple[float, float]:
        """Return the smallest and largest value that has a code."""
        kind = np.iinfo(self.zero_point.dtype)
        zero = int(self.zero_point)
        return float(self.scale) * (kind.min - zero), float(self.scale) * (kind.max - zero)

    def codes(self, values: Array) -> Array:
        """Return the values' codes."""
        kind = np.iinfo(self.zero_point.dtype)
        rounded = np.rint(values / self.scale) + int(self.zero_point)
        return np.asarray(np.clip(rounded, kind.min, kind.max).astype(self.zero_point.dtype))


def asymmetric(low: float, high: float, dtype: type[np.unsignedinteger] = np.uint8) -> Encoding:
    """Return the encoding whose codes span [low, high], widened to hold 0 exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    largest = np.iinfo(dtype).max
    scale = np.float32(max((high - low) / largest, float(np.finfo(np.float32).tiny)) if high > low else 1.0)
    return Encoding(np.array(scale), np.array(dtype(np.clip(round(-low / float(scale)), 0, largest))))


def symmetric(low: float, high: float, dtype: type[np.signedinteger] = np.int8) -> Encoding:
    """Return the encoding with zero point 0 that holds both ends."""
    reach = max(abs(low), abs(high))
    scale = np.float32(max(reach / np.iinfo(dtype).max, float(np.finfo(np.float32).tiny)) if reach else 1.0)
    return Encoding(np.array(scale), np.array(dtype(0)))


def weight_codes(weight: Array, axis: int | None, least: Array | float = 0.0) -> tuple[Array, Array]:
    """Return int8 codes in [-127, 127] and float32 scales, one per slice along `axis` or one for all.

    Args:
        weight: The float32 weight.
        axis: The output-channel axis, None for one scale.
        least: What the scales must not fall below.
    """
    others = tuple(index for index in range(weight.ndim) if index != axis)
    largest = np.abs(weight).max(axis=others, keepdims=True, initial=0.0).astype(np.float64)
    shape = largest.shape
    scales = np.maximum(largest.reshape(-1) / 127, np.maximum(least, float(np.finfo(np.float32).tiny)))
    rounded = scales.astype(np.float32)
    codes = np.clip(np.rint(weight / rounded.reshape(shape)), -127, 127).astype(np.int8)
    return codes, rounded if axis is not None else rounded.reshape(())


def least_weight_scales(bias: Array, input_scale: float) -> Array:
    """Return the weight scales below which the bias would not fit into int32, the kernels' accumulator.

    The bias is stored in steps of input scale * weight scale; a channel of tiny weights with a large bias overflows.
    """
    return np.abs(bias.astype(np.float64)).reshape(-1) / (input_scale * _LARGEST_INT32)


def bias_codes(bias: Array, input_scale: float, scales: Array) -> tuple[Array, Array]:
    """Return the bias as int32 codes with float32 scales of its own: input scale * weight scale."""
    steps = (np.float32(input_scale) * scales).astype(np.float32)
    codes = np.clip(np.rint(bias.astype(np.float64) / steps), -_LARGEST_INT32, _LARGEST_INT32)
    return codes.astype(np.int32), steps


def agreed_ranges(
    wiring: Wiring, region: Region, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """Return the ranges after the inputs of each Concat in the region agreed on one where they nearly do already."""
    agreed = dict(ranges)
    for node in wiring.graph.node:
        names = wiring.data_inputs(node)
        if node.op_type != "Concat" or node not in region or not all(_root(wiring, n) in agreed for n in names):
            continue
        roots = [_root(wiring, name) for name in names]
        low, high = min(agreed[name][0] for name in roots), max(agreed[name][1] for name in roots)
        near = [name for name in roots if (agreed[name][1] - agreed[name][0]) * _ALIKE >= high - low]
        agreed |= dict.fromkeys([*near, node.output[0]], (low, high))
    return agreed


def _root(wiring: Wiring, name: str) -> str:
    """Return the tensor whose codes a tensor carries."""
    producer = wiring.producers.get(name)
    while producer is not None and producer.op_type in CARRIERS:
        name = producer.input[0]
        producer = wiring.producers.get(name)
    return name
