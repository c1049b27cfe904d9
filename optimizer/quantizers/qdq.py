"""Writing Q and DQ pairs: where they stand was decided before, in region.py."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edge_runtime.inference.engine import Array
from optimizer.graph import output_channel_axis
from optimizer.quantizers.encoding import (
    Encoding,
    asymmetric,
    bias_codes,
    least_weight_scales,
    symmetric,
    weight_codes,
)
from optimizer.quantizers.reduced import reduced_codes
from optimizer.quantizers.region import Region
from optimizer.quantizers.wiring import WEIGHTED, Wiring
from optimizer.simplify.upgrade_opset import PER_CHANNEL_OPSET

CONTRIB = "com.microsoft"
_OPSET_OF_16_BITS = 21  # before, only onnxruntime's own operator set has Q and DQ of 16 bits
_WITH_OPERANDS = frozenset({"Add", "Concat", "Mul"})  # whose constant inputs are rounded like activations


@dataclass
class QdqWriter:
    """Writes the nodes of the quantized graph in order.

    A tensor `t` comes out as `t_DequantizeLinear_Output`; one that is known by name outside the graph keeps its name
    for the result.

    Attributes:
        wiring: The float graph.
        region: Its int8 part.
        encodings: Of every rounded tensor.
        opset: Of the model.
        also: Operator types quantized besides the usual ones.
        is_symmetric: Whether zero points are all 0 and biases stay float, as TensorRT has it.
        reduced: Names of layers of whose weights no two neighbouring products may exceed 16 bits.
        in_any_order: Whether that holds however neighbours are paired.
        nodes: What was written.
        constants: The new initializers by name.
    """

    wiring: Wiring
    region: Region
    encodings: dict[str, Encoding]
    opset: int
    also: Collection[str]
    is_symmetric: bool
    reduced: Collection[str] = ()
    in_any_order: bool = False
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def write(self, dropped: Collection[str]) -> None:
        """Write every node but those named in `dropped`, whose producer writes their output in their place."""
        behind = {node.input[0]: node.output[0] for node in self.wiring.graph.node if node.name in dropped}
        for item in self.wiring.graph.input:
            self._write_pair(item.name)
        for original in self.wiring.graph.node:
            if original.name in dropped:
                continue
            node = onnx.NodeProto()
            node.CopyFrom(original)
            self._connect(node, original)
            outputs = [behind.get(name, name) for name in original.output]
            node.output[:] = [self._raw(name) for name in outputs]
            self.nodes.append(node)
            for name in outputs:
                self._write_pair(name)

    def _connect(self, node: onnx.NodeProto, original: onnx.NodeProto) -> None:
        """Let a node read rounded tensors, and write what restores its constants before it."""
        inside = original in self.region
        data = self.wiring.data_inputs(original) if inside else []
        for place, name in enumerate(original.input):
            if name in self.encodings and (name in data or self._is_rounded_for_all(name)):
                node.input[place] = self._rounded(name)
        if inside and original.op_type in WEIGHTED:
            self._round_weight_and_bias(node, original)
        elif inside and (original.op_type in _WITH_OPERANDS or original.op_type in self.also):
            self._round_operands(node, original)

    def _is_rounded_for_all(self, name: str) -> bool:
        """Tell whether float nodes too read the rounded tensor: a kernel that rounds writes nothing else."""
        producer = self.wiring.producers.get(name)
        return producer is not None and producer in self.region

    def _raw(self, name: str) -> str:
        named = name in self.encodings and name in self.wiring.pinned and self._is_rounded_for_all(name)
        return f"{name}_unrounded" if named else name

    def _rounded(self, name: str) -> str:
        return f"{name}_DequantizeLinear_Output" if self._raw(name) == name else name

    def _write_pair(self, name: str) -> None:
        encoding = self.encodings.get(name)
        if encoding is None:
            return
        prefix = self._prefix()
        parameters = [f"{prefix}scale", f"{prefix}zero_point"]
        self._add_constant(parameters[0], encoding.scale)
        self._add_constant(parameters[1], encoding.zero_point)
        is_wide = encoding.zero_point.dtype.itemsize == 2
        domain = CONTRIB if is_wide and self.opset < _OPSET_OF_16_BITS else None
        for kind, source, target in (
            ("QuantizeLinear", self._raw(name), f"{prefix}codes"),
            ("DequantizeLinear", f"{prefix}codes", self._rounded(name)),
        ):
            self.nodes.append(helper.make_node(kind, [source, *parameters], [target], f"{prefix}{kind}", domain=domain))

    def _prefix(self) -> str:
        """Return the beginning of new names: short, for exporters' names can outweigh a small model's weights."""
        return f"edgeopt/{len(self.constants)}/"

    def _add_constant(self, name: str, values: Array) -> None:
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), name)

    def _round_weight_and_bias(self, node: onnx.NodeProto, original: onnx.NodeProto) -> None:
        weight = numpy_helper.to_array(self.wiring.constants[original.input[1]])
        # onnxruntime has no kernel for a stack of matrices with one scale per column.
        per_channel = self.opset >= PER_CHANNEL_OPSET and (original.op_type != "MatMul" or weight.ndim == 2)
        axis = output_channel_axis(original, weight.ndim) if per_channel else None
        encoding = self.encodings[original.input[0]]
        bias = self._integer_bias(original, encoding)
        least: Array | float = 0.0
        if bias is not None:
            smallest = least_weight_scales(bias, float(encoding.scale))
            least = smallest if per_channel else float(smallest.max(initial=0.0))
        if original.name in self.reduced and encoding.zero_point.dtype.itemsize == 1:
            codes, scales = reduced_codes(original, weight, axis, least, in_any_order=self.in_any_order)
        else:
            codes, scales = weight_codes(weight, axis, least)
        node.input[1] = self._restore(original.input[1], codes, scales, axis)
        if bias is not None:
            whole, steps = bias_codes(bias, float(encoding.scale), scales)
            node.input[2] = self._restore(
                f"{original.input[2]}_of_{node.name}", whole, steps, 0 if per_channel else None
            )

    def _integer_bias(self, original: onnx.NodeProto, encoding: Encoding) -> Array | None:
        """Return the bias where it becomes int32: TensorRT adds float biases, and 16 bits are multiplied in float."""
        if len(original.input) < 3 or not original.input[2]:
            return None
        if self.is_symmetric or encoding.zero_point.dtype.itemsize > 1:
            return None
        return numpy_helper.to_array(self.wiring.constants[original.input[2]]).reshape(-1)

    def _round_operands(self, node: onnx.NodeProto, original: onnx.NodeProto) -> None:
        for place, name in enumerate(original.input):
            if name in self.wiring.constants and name in self.wiring.floats:
                values = numpy_helper.to_array(self.wiring.constants[name])
                ends = float(values.min(initial=0.0)), float(values.max(initial=0.0))
                encoding = symmetric(*ends) if self.is_symmetric else asymmetric(*ends)
                node.input[place] = self._restore(
                    name, encoding.codes(values), encoding.scale, None, encoding.zero_point
                )

    def _restore(
        self, name: str, codes: Array, scales: Array, axis: int | None, zero_point: Array | None = None
    ) -> str:
        """Store codes behind a DequantizeLinear and return its output.

        A weight that two layers share is stored for each: onnxruntime's rewrite to uint8 weights, on x86 without VNNI,
        fails on a model where they read the same codes.
        """
        prefix = self._prefix()
        zeros = np.zeros(scales.shape, codes.dtype) if zero_point is None else zero_point
        parts = {f"{prefix}codes": codes, f"{prefix}scale": scales, f"{prefix}zero_point": zeros}
        for part, values in parts.items():
            self._add_constant(part, values)
        attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
        taken = any(f"{name}_DequantizeLinear_Output" in node.output for node in self.nodes)
        output = f"{prefix}{name}_DequantizeLinear_Output" if taken else f"{name}_DequantizeLinear_Output"
        self.nodes.append(
            helper.make_node("DequantizeLinear", list(parts), [output], f"{prefix}DequantizeLinear", **attributes)
        )
        return output
