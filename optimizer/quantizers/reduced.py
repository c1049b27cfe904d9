"""Weight codes of which no two neighbouring products exceed 16 bits: exact on x86 without VNNI, at full speed there.

Seven bits for all weights would do, at the price of half their resolution. Only same-signed neighbours whose codes add
up to more than 128 are at risk (128 * 255 < 2^15 <= 129 * 255). In a channel that has such, either their codes come
down (a few weights err by more), or the steps of the whole channel grow (all weights err by a little more), or some of
both: each channel takes what errs least. On a residual network that gave 27.7 dB where seven bits gave 22.8 and the
full range 27.8 (measured; signal to noise of the outputs).

Which products are neighbours differs between engines where a convolution's channels are odd in number: onnxruntime
pairs the last channel with the next position's first, OpenVINO with nothing. For another engine all codes of such a
layer, mostly a network's first, stay within 64, which holds in any order (3 channels in OpenVINO: 17 dB without that).
"""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx

from edge_runtime.inference.engine import Array
from optimizer.quantizers.encoding import weight_codes
from optimizer.saturation import LARGEST_CODE, LARGEST_SUM, is_depthwise, rows_of

_MOST = LARGEST_SUM // LARGEST_CODE
_GROWTHS = np.linspace(1, 127 / 64, 17)  # of a channel's steps; with the last no code is above 64
# Activations behind a Relu have a mean, so that errors of one sign add up: a sum of errors times values with mean m and
# variance v has the mean square v sum(e^2) + m^2 sum(e)^2. For a normal variable behind a Relu m^2 / v is 1 / (pi - 1).
_MEAN_OVER_VARIANCE = 1 / (np.pi - 1)


def reduced_codes(
    node: onnx.NodeProto, weight: Array, axis: int | None, least: Array | float, *, in_any_order: bool = False
) -> tuple[Array, Array]:
    """Return int8 codes and float32 scales as `weight_codes` does, with no pair of products above 16 bits.

    Args:
        node: The layer.
        weight: Its float32 weight.
        axis: The output-channel axis, None for one scale.
        least: What the scales must not fall below.
        in_any_order: Whether another engine than onnxruntime adds the products up.
    """
    codes, scales = weight_codes(weight, axis, least)
    if is_depthwise(node, weight):
        return codes, scales
    is_odd = in_any_order and node.op_type == "Conv" and weight.shape[1] % 2 == 1
    lowered = partial(np.clip, a_min=-(_MOST // 2), a_max=_MOST // 2) if is_odd else partial(within_16_bits, node)
    others = tuple(index for index in range(weight.ndim) if index != axis)
    shape = [1 if index in others else size for index, size in enumerate(weight.shape)]
    at_risk = (lowered(codes) != codes).any(axis=others, keepdims=True)
    smallest, best = scales.astype(np.float64), np.where(at_risk, np.inf, -np.inf)
    for growth in _GROWTHS:
        tried, steps = weight_codes(weight, axis, smallest * growth)
        tried = lowered(tried)
        errors = tried * steps.reshape(shape).astype(np.float64) - weight
        together = np.square(errors.sum(axis=others, keepdims=True))
        error = np.square(errors).sum(axis=others, keepdims=True) + _MEAN_OVER_VARIANCE * together
        better = error < best
        best = np.where(better, error, best)
        codes = np.where(better, tried, codes)
        scales = np.where(better.reshape(scales.shape), steps, scales)
    return codes, scales


def within_16_bits(node: onnx.NodeProto, codes: Array) -> Array:
    """Return the codes with both of a pair brought down alike where their products could exceed 16 bits."""
    places = rows_of(node, np.arange(codes.size).reshape(codes.shape))
    rows = codes.reshape(-1)[places].astype(np.int16)
    pairs = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2))).reshape(len(rows), -1, 2)
    same = pairs[..., 0] * pairs[..., 1] > 0
    excess = np.where(same, np.maximum(np.abs(pairs).sum(axis=2) - _MOST, 0), 0)
    down = np.stack([(excess + 1) // 2, excess // 2], axis=2)
    lowered = (pairs - np.sign(pairs) * down).reshape(len(rows), -1)[:, : rows.shape[1]]
    result = np.empty(codes.size, codes.dtype)
    result[places.reshape(-1)] = lowered.reshape(-1)
    return result.reshape(codes.shape)
