"""Models above 2 GiB: too large for one ONNX file until their weights are int8.

Weights of multiplying operators are read from the external files in blocks and stored as int8 per output channel, in
the form of `Int8Weights`; everything else is read as it is. What would still be too large is refused before any weight
is read. Memory: the result about three times over (as message, as bytes, in the session that proves it), and one block.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.external_data_helper import uses_external_data

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array
from edge_runtime.package.archive import MAX_PACKAGE_BYTES
from optimizer.external_data import Extent, extent_of, external_tensors, size_in_bytes
from optimizer.graph import float_weights, output_channel_axis

_BLOCK_BYTES = 1 << 25
_KEPT_BYTES = 1 << 28  # a weight up to this size is read once
_LIMIT = MAX_PACKAGE_BYTES - (1 << 24)  # leaves room for manifest and golden samples
_SMALLEST_WEIGHT = 256  # elements; below, scales would outweigh what int8 saves
# onnxruntime keeps such weights as int8 in its MatMulNBits kernel. Level 1 is float32 arithmetic; its default would
# quantize the activations as well, which nobody has measured the accuracy of.
SESSION = {"session.qdq_matmulnbits_accuracy_level": "1"}
_FIRST_OPSET = 13  # the first whose DequantizeLinear has an axis


def reduce(path: Path, model: onnx.ModelProto, opset: int, limit: int = _LIMIT) -> None:
    """Bring all external tensors into the model, large weights of multiplying operators as int8.

    Args:
        path: The model's file; external data lie beside it.
        model: The model without its external data; changed in place.
        opset: Its default operator set.
        limit: Most bytes the result may have.

    Raises:
        BadInput: E-MODEL-TOO-LARGE, known before any weight is read; E-MODEL-EXTERNAL-DATA.
    """
    if opset < _FIRST_OPSET:
        raise too_large(path, f"its opset {opset} cannot hold int8 weights per channel", "export it with opset 17")
    weights = _reducible(model)
    tensors = list(external_tensors(model))
    extents = [extent_of(path, tensor) for tensor in tensors]
    planned = model.ByteSize() + sum(_planned(path, tensor, tensor.name in weights) for tensor in tensors)
    if planned > limit:
        raise too_large(
            path,
            f"with int8 weights it would still hold {planned / 1e9:.2f} GB, and a package {limit / 1e9:.2f} GB at most",
            "use a smaller model; only float32 weights of Conv, Gemm and MatMul get smaller",
        )
    restored = []
    for tensor, extent in zip(tensors, extents, strict=True):
        node = weights.get(tensor.name)
        if node is None:
            _inline(tensor, extent)
        else:
            restored.append(_store_as_int8(model.graph, tensor, extent, node))
    for node in reversed(restored):
        model.graph.node.insert(0, node)


def digest(files: Sequence[Path]) -> str:
    """Return the SHA-256 of files one after the other."""
    found = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                found.update(block)
    return found.hexdigest()


def too_large(path: Path, why: str, fix: str) -> BadInput:
    """Return the error for a model that cannot be made to fit."""
    return BadInput("E-MODEL-TOO-LARGE", f"{path} holds more than 2 GiB, the most one ONNX file can hold; {why}", fix)


def _reducible(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """Return the external float32 weights worth storing as int8: name -> first user."""
    external = {tensor.name: tensor for tensor in model.graph.initializer if uses_external_data(tensor)}
    fed = {value.name for value in model.graph.input} | {value.name for value in model.graph.output}
    users = {name: node for name, node in float_weights(model.graph).items() if name in external and name not in fed}
    return {
        name: node
        for name, node in users.items()
        if len(external[name].dims) > 1 and np.prod(external[name].dims) >= _SMALLEST_WEIGHT
    }


def _planned(path: Path, tensor: onnx.TensorProto, as_int8: bool) -> int:
    """Return the bytes a tensor will take: a fourth, and at most as many scales as its largest side."""
    size = size_in_bytes(path, tensor)
    return size // 4 + 5 * max(tensor.dims) if as_int8 else size


def _inline(tensor: onnx.TensorProto, extent: Extent) -> None:
    tensor.raw_data = bytes(extent.read())
    tensor.ClearField("data_location")
    del tensor.external_data[:]


def _store_as_int8(
    graph: onnx.GraphProto, tensor: onnx.TensorProto, extent: Extent, user: onnx.NodeProto
) -> onnx.NodeProto:
    """Turn a weight into its codes, add its scales, and return the node that restores it under its name."""
    name, shape = tensor.name, tuple(tensor.dims)
    axis = output_channel_axis(user, len(shape))
    codes, scales = _quantized(extent, shape, axis)
    tensor.name, tensor.data_type = f"{name}_codes", onnx.TensorProto.INT8
    tensor.raw_data = codes.tobytes()
    tensor.ClearField("data_location")
    del tensor.external_data[:]
    # Zero points of 0 are ONNX's default, but onnxruntime's session.x64quantprecision makes up a wrong shape for them.
    parts = {f"{name}_scales": scales, f"{name}_zeros": np.zeros(len(scales), np.int8)}
    graph.initializer.extend(numpy_helper.from_array(array, part) for part, array in parts.items())
    return helper.make_node("DequantizeLinear", [f"{name}_codes", *parts], [name], name=f"{name}_restored", axis=axis)


def _quantized(extent: Extent, shape: tuple[int, ...], axis: int) -> tuple[Array, Array]:
    """Return what `graph.quantize_symmetric` returns for the whole weight.

    Blocks of rows hold whole channels where the channel is the first axis. Elsewhere a weight goes by twice: first for
    its largest values, then for its codes.
    """
    others = tuple(index for index in range(len(shape)) if index != axis)
    along = [1] * len(shape)
    along[axis] = -1
    codes = np.empty(shape, np.int8)
    if axis == 0:
        parts = []
        for start, block in extent.rows(shape, _BLOCK_BYTES):
            parts.append(_scales(np.abs(block).max(axis=others)))
            _write_codes(codes[start : start + len(block)], block, parts[-1].reshape(along))
        return codes, np.concatenate(parts)
    largest = np.zeros(shape[axis], np.float32)
    again = list(extent.rows(shape, _BLOCK_BYTES)) if extent.length <= _KEPT_BYTES else None
    for _, block in again or extent.rows(shape, _BLOCK_BYTES):
        np.maximum(largest, np.abs(block).max(axis=others), out=largest)
    scales = _scales(largest)
    for start, block in again or extent.rows(shape, _BLOCK_BYTES):
        _write_codes(codes[start : start + len(block)], block, scales.reshape(along))
    return codes, scales


def _scales(largest: Array) -> Array:
    return np.maximum(largest / 127, np.finfo(np.float32).tiny).astype(np.float32)


def _write_codes(codes: Array, block: Array, scales: Array) -> None:
    scaled = block / scales
    np.rint(scaled, out=scaled)
    codes[...] = np.clip(scaled, -127, 127, out=scaled)
