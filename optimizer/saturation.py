"""Which int8 layers may compute wrong on x86 without VNNI, told from their weights and the codes they can be given.

VPMADDUBSW multiplies uint8 activations with int8 weights and adds neighbouring products in 16 signed bits, which
saturate above 32767 (Intel 64 and IA-32 Architectures Software Developer's Manual). onnxruntime's session option
session.x64quantprecision avoids that instruction; Arm and VNNI never saturate.

Neighbours are the products 2i and 2i+1 along the summed axis, a convolution's with the input channel fastest; int8
activations are multiplied as uint8, 128 added. That is how onnxruntime 1.32 packs: sums computed so equal those of its
AVX2 kernels in every bit (tests/optimizer/test_saturation.py). Depthwise convolutions have exact kernels of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import numpy_helper

from devices.profile import Device
from edge_runtime.inference.engine import Array
from edge_runtime.package.manifest import Needs
from optimizer.calibrate.observed import Observed
from optimizer.graph import WEIGHTED_OPS, output_channel_axis

LARGEST_CODE = 255
LARGEST_SUM = 32767
_EXACT = ("avx512_vnni", "avx_vnni", "asimd")  # words of /proc/cpuinfo, one of which means sums in 32 bits
_FLIP: dict[int, int] = {
    onnx.TensorProto.UINT8: 0,
    onnx.TensorProto.INT8: 128,
}  # what kernels add to a code to have it unsigned
# Codes around those seen in float32: the int8 model's own activations, and new samples, reach a little further.
_MARGIN = 8


@dataclass(frozen=True)
class Saturating:
    """A layer in which two products can exceed 16 bits.

    Attributes:
        layer: Its node's name.
        channels: Share of its output channels in which that is possible.
        largest: The largest sum of two neighbouring products.
    """

    layer: str
    channels: float
    largest: int


def kernels_saturate(device: Device) -> bool:
    """Tell whether onnxruntime's default uint8 x int8 kernels saturate on a machine: x86 without a VNNI unit."""
    return device.isa == "x86_64" and bool(device.int8_kernels) and device.int8_kernels not in _EXACT


def needs_of_sums(model: bytes, *, guarded: bool) -> Needs:
    """Return where the sums of a form are exact: everywhere, or where they are made in 32 bits.

    Args:
        model: The form.
        guarded: Whether it is served with onnxruntime's guard where the processor needs it, as edgeopt does by itself
            unless a session entry says otherwise or onnxruntime cannot (`OrtEngine.int8_is_exact`).
    """
    return Needs() if guarded or not saturating_layers(model) else Needs(features=_EXACT)


def saturating_layers(model: bytes, seen: Mapping[str, Observed] | None = None) -> tuple[Saturating, ...]:
    """Return the layers at risk.

    Args:
        model: A model with Q and DQ around its layers.
        seen: What was observed of its float activations, by name. With it a layer is at risk if the codes of these
            ranges reach 16 bits; without, if any input whatsoever does. Only the latter proves a layer safe.
    """
    graph = _Graph.of(model)
    found = []
    for layer in graph.layers():
        sums = largest_sums(rows_of(layer.node, layer.codes), *graph.reachable(layer, seen or {}))
        if sums.max(initial=0) > LARGEST_SUM:
            found.append(Saturating(layer.node.name, float(np.mean(sums > LARGEST_SUM)), int(sums.max())))
    return tuple(found)


def largest_sums(rows: Array, lowest: Array | int = 0, highest: Array | int = LARGEST_CODE) -> Array:
    """Return, per row of int8 weights, the largest |a0 w0 + a1 w1| over neighbours.

    Args:
        rows: (rows, summed axis).
        lowest: The smallest code of the activation that each weight meets; one for all, or shaped like `rows`.
        highest: The largest, likewise.
    """
    weights = rows.astype(np.int64)
    ends = np.stack([weights * lowest, weights * highest])
    upward = _pair_sums(ends.max(axis=0))
    downward = -_pair_sums(ends.min(axis=0))
    return np.asarray(np.maximum(upward, downward).max(axis=1, initial=0))


def rows_of(node: onnx.NodeProto, weight: Array) -> Array:
    """Return a weight as (rows, summed axis), in the order in which kernels add."""
    if node.op_type == "MatMul":
        return np.swapaxes(weight, -1, -2).reshape(-1, weight.shape[-2])
    rows = np.moveaxis(weight, output_channel_axis(node, weight.ndim), 0)
    if node.op_type in {"Conv", "ConvTranspose"}:
        rows = np.moveaxis(rows, 1, -1)
    return rows.reshape(len(rows), -1)


def is_depthwise(node: onnx.NodeProto, weight: Array) -> bool:
    """Tell whether a convolution makes each channel from one input channel."""
    return node.op_type == "Conv" and weight.shape[1] == 1 and len(weight) == _group(node)


def _group(node: onnx.NodeProto) -> int:
    return next((int(item.i) for item in node.attribute if item.name == "group"), 1)


def _pair_sums(products: Array) -> Array:
    padded = np.pad(products, ((0, 0), (0, products.shape[1] % 2)))
    return np.asarray(padded.reshape(len(products), -1, 2).sum(axis=2))


@dataclass(frozen=True)
class _Layer:
    """A layer between Q and DQ: its node, the codes of its weight, and the node that restores its activations."""

    node: onnx.NodeProto
    codes: Array
    restore: onnx.NodeProto


@dataclass(frozen=True)
class _Graph:
    """A quantized graph by name."""

    nodes: list[onnx.NodeProto]
    constants: dict[str, onnx.TensorProto]
    makers: dict[str, onnx.NodeProto] = field(default_factory=dict)

    @classmethod
    def of(cls, model: bytes) -> _Graph:
        graph = onnx.load_model_from_string(model).graph
        makers = {name: node for node in graph.node for name in node.output}
        return cls(list(graph.node), {item.name: item for item in graph.initializer}, makers)

    def layers(self) -> Iterator[_Layer]:
        """Yield the layers that integer kernels multiply with int8 weights, save depthwise ones."""
        for node in self.nodes:
            if node.op_type not in WEIGHTED_OPS:
                continue
            data, weight = (self.makers.get(name) for name in node.input[:2])
            if data is None or weight is None or {data.op_type, weight.op_type} != {"DequantizeLinear"}:
                continue
            codes = self.constants.get(weight.input[0])
            if codes is None or codes.data_type != onnx.TensorProto.INT8:
                continue
            if self._kind(data) not in _FLIP:
                continue  # 16-bit activations are multiplied in float
            layer = _Layer(node, numpy_helper.to_array(codes), data)
            if not is_depthwise(node, layer.codes):
                yield layer

    def reachable(self, layer: _Layer, seen: Mapping[str, Observed]) -> tuple[Array | int, Array | int]:
        """Return the smallest and largest unsigned code that each weight of `rows_of` can meet."""
        maker = self.makers.get(layer.restore.input[0])
        known = seen.get(maker.input[0].removesuffix("_unrounded")) if maker is not None else None
        if known is None:
            return 0, LARGEST_CODE
        ends = known.low, known.high
        inputs = layer.codes.shape[1] * _group(layer.node) if layer.node.op_type == "Conv" else 0
        by_channel = known.channel_low, known.channel_high
        lows, highs = by_channel if by_channel[0] is not None and len(by_channel[0]) == inputs else ends
        low = np.broadcast_to(self._codes(layer.restore, lows) - _MARGIN, max(inputs, 1))
        high = np.broadcast_to(self._codes(layer.restore, highs) + _MARGIN, max(inputs, 1))
        zero = self._codes(layer.restore, 0.0)  # what convolutions are padded with
        reach = (np.clip(np.minimum(low, zero), 0, None), np.clip(np.maximum(high, zero), None, LARGEST_CODE))
        return tuple(_along_rows(layer, one) if inputs else int(one[0]) for one in reach)  # type: ignore[return-value]

    def _codes(self, restore: onnx.NodeProto, values: Array | float | None) -> Array:
        scale, zero = (numpy_helper.to_array(self.constants[name]) for name in restore.input[1:3])
        flip = _FLIP[self._kind(restore)]
        codes = np.rint(np.asarray(values, np.float64) / float(scale)) + int(zero) + flip
        return np.asarray(np.clip(codes, 0, LARGEST_CODE).astype(np.int64))

    def _kind(self, restore: onnx.NodeProto) -> int:
        """Return the type of the codes; a DequantizeLinear without a zero point reads uint8."""
        zero = self.constants.get(restore.input[2]) if len(restore.input) > 2 else None
        return int(zero.data_type) if zero is not None else int(onnx.TensorProto.UINT8)


def _along_rows(layer: _Layer, channels: Array) -> Array:
    """Return one value per input channel of a convolution as one per weight, laid out as `rows_of` does."""
    outputs, inside = layer.codes.shape[:2]
    groups = channels.reshape(-1, inside).repeat(outputs // (len(channels) // inside), axis=0)
    spread = np.broadcast_to(groups.reshape(outputs, inside, *[1] * (layer.codes.ndim - 2)), layer.codes.shape)
    return rows_of(layer.node, spread)
