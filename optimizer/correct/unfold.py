"""A layer as the matrix product it is: its weight as rows, its inputs as the columns these rows are multiplied with."""

from __future__ import annotations

import numpy as np

from edge_runtime.inference.engine import Array
from optimizer.correct.layers import Layer, attribute


def rows_of(layer: Layer, weight: Array) -> Array:
    """Return a weight as (groups, outputs of a group, inputs per output)."""
    if layer.node.op_type == "Conv":
        return weight.reshape(layer.groups, weight.shape[0] // layer.groups, -1)
    return np.expand_dims(weight.T if layer.axis else weight, 0)


def weight_of(layer: Layer, rows: Array) -> Array:
    """Return rows as a weight again; undoes `rows_of`."""
    if layer.node.op_type == "Conv":
        return rows.reshape(layer.weight.shape)
    return np.asarray(rows[0].T if layer.axis else rows[0])


def columns_of(layer: Layer, inputs: Array, most: int) -> Array:
    """Return the vectors a layer multiplies its rows with, as (groups, vectors, inputs per output).

    Args:
        layer: A Conv of any number of dimensions, a Gemm or a MatMul.
        inputs: A batch of its inputs.
        most: How many vectors are wanted; more are thinned out evenly.
    """
    if layer.node.op_type != "Conv":
        flat = inputs.reshape(-1, inputs.shape[-1])
        return _thinned(flat, most)[np.newaxis]
    kernel = layer.weight.shape[2:]
    dims = len(kernel)
    strides = attribute(layer.node, "strides", [1] * dims)
    dilations = attribute(layer.node, "dilations", [1] * dims)
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    padded = np.pad(inputs, [(0, 0), (0, 0), *_pads(layer, inputs.shape[2:], reach, strides)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=tuple(range(2, 2 + dims)))
    at = tuple(slice(None, None, step) for step in strides)
    inside = tuple(slice(None, None, step) for step in dilations)
    windows = windows[(slice(None), slice(None), *at, *inside)]
    # (batch, channels, positions..., kernel...) -> (batch, positions..., channels, kernel...)
    ordered = np.moveaxis(windows, 1, 1 + dims)
    samples, places = ordered.shape[0], ordered.shape[1 : 1 + dims]
    index = np.unravel_index(_thinned(np.arange(samples * int(np.prod(places))), most), (samples, *places))
    picked = ordered[index]  # (vectors, channels, kernel...)
    grouped = picked.reshape(len(picked), layer.groups, -1)
    return np.moveaxis(grouped, 1, 0)


def _thinned(rows: Array, most: int) -> Array:
    count = len(rows)
    return rows if count <= most else rows[np.arange(most) * count // most]


def _pads(layer: Layer, sizes: tuple[int, ...], reach: list[int], strides: list[int]) -> list[tuple[int, int]]:
    """Return (before, after) for each spatial axis; see Conv's pads and auto_pad."""
    mode = attribute(layer.node, "auto_pad", b"NOTSET")
    if mode in {b"SAME_UPPER", b"SAME_LOWER"}:
        pads = []
        for size, span, stride in zip(sizes, reach, strides, strict=True):
            total = max((-(-size // stride) - 1) * stride + span - size, 0)
            small, large = total // 2, total - total // 2
            pads.append((small, large) if mode == b"SAME_UPPER" else (large, small))
        return pads
    if mode == b"VALID":
        return [(0, 0)] * len(sizes)
    given = attribute(layer.node, "pads", [0] * (2 * len(sizes)))
    return list(zip(given[: len(sizes)], given[len(sizes) :], strict=True))
