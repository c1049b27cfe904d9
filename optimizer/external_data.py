"""Tensors that lie in other files beside the model: where, checked before a byte is read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import onnx
from onnx import helper
from onnx.external_data_helper import uses_external_data

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array
from optimizer.graph import nodes

_EXPORT_AGAIN = "export the model again from the training framework, or copy it again from where it came"
_PACKED_TYPES = frozenset(
    getattr(onnx.TensorProto, name) for name in ("INT4", "UINT4", "FLOAT4E2M1") if hasattr(onnx.TensorProto, name)
)


@dataclass(frozen=True)
class Extent:
    """Where one tensor's bytes lie: `length` bytes from `offset` on."""

    file: Path
    offset: int
    length: int

    def read(self, start: int = 0, length: int | None = None) -> bytearray:
        """Return some of the bytes, all without arguments.

        Raises:
            BadInput: E-MODEL-EXTERNAL-DATA, the file cannot be read or became shorter.
        """
        wanted = self.length - start if length is None else length
        found = bytearray(wanted)
        try:
            with self.file.open("rb", buffering=0) as stream:
                stream.seek(self.offset + start)
                filled = 0
                with memoryview(found) as view:
                    while filled < wanted and (count := stream.readinto(view[filled:])):
                        filled += count
        except OSError as error:
            raise unreadable(self.file, str(error.strerror)) from error
        if filled < wanted:
            raise unreadable(self.file, "it became shorter meanwhile")
        return found

    def rows(self, shape: tuple[int, ...], most_bytes: int) -> Iterator[tuple[int, Array]]:
        """Yield float32 blocks along the first axis, as (first row, block), of about `most_bytes` each."""
        row = self.length // shape[0]
        step = max(1, most_bytes // max(1, row))
        for start in range(0, shape[0], step):
            count = min(step, shape[0] - start)
            block = np.frombuffer(self.read(start * row, count * row), "<f4")
            yield start, block.reshape(count, *shape[1:])


def external_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor stored outside the file: initializers and attributes, in bodies and functions too."""
    attributes = [a for node in nodes(model.graph) for a in node.attribute]
    attributes += [a for function in model.functions for node in function.node for a in node.attribute]
    tensors = [*model.graph.initializer, *(t for a in attributes for t in (a.t, *a.tensors))]
    tensors += [t for a in attributes for body in (a.g, *a.graphs) for t in body.initializer]
    yield from (tensor for tensor in tensors if uses_external_data(tensor))


def files_of(path: Path, model: onnx.ModelProto) -> list[Path]:
    """Return the files beside the model that hold its tensors.

    Raises:
        BadInput: E-MODEL-EXTERNAL-DATA, one is missing or lies outside the model's folder.
    """
    locations = {_entries(tensor).get("location", "") for tensor in external_tensors(model)}
    files = [_inside(path, location) for location in sorted(locations)]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise BadInput(
            "E-MODEL-EXTERNAL-DATA",
            f"{path} keeps its weights in {', '.join(missing)}, which is missing",
            f"copy that file into {path.parent.absolute()}, or save the model as one file",
        )
    return files


def extent_of(path: Path, tensor: onnx.TensorProto) -> Extent:
    """Return where a tensor lies; its size is held against its shape and the file, nothing is read.

    Raises:
        BadInput: E-MODEL-EXTERNAL-DATA.
    """
    entries = _entries(tensor)
    file = _inside(path, entries.get("location", ""))
    length = size_in_bytes(path, tensor)
    try:
        offset, stated = int(entries.get("offset", 0)), int(entries.get("length", length))
        size = file.stat().st_size
    except (ValueError, OSError) as error:
        raise unreadable(path, f"tensor {tensor.name}: {error}") from error
    if offset < 0 or stated != length or offset + length > size:
        raise unreadable(
            path,
            f"tensor {tensor.name} of {length} bytes is said to be {stated} bytes at {offset} in {file.name}, "
            f"which has {size}",
        )
    return Extent(file, offset, length)


def size_in_bytes(path: Path, tensor: onnx.TensorProto) -> int:
    """Return how many bytes a tensor of its type and shape has.

    Raises:
        BadInput: E-MODEL-EXTERNAL-DATA, there is no such type or shape.
    """
    elements = math.prod(tensor.dims)
    if any(size < 0 for size in tensor.dims):
        raise unreadable(path, f"tensor {tensor.name} has the shape {list(tensor.dims)}")
    if tensor.data_type in _PACKED_TYPES:
        return -(-elements // 2)
    try:
        return elements * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, ValueError, TypeError) as error:
        raise unreadable(path, f"tensor {tensor.name} has the unknown type {tensor.data_type}") from error


def unreadable(path: Path, why: str) -> BadInput:
    """Return the error for external data that cannot be used."""
    return BadInput("E-MODEL-EXTERNAL-DATA", f"{path}: its external data cannot be read: {why}", _EXPORT_AGAIN)


def _entries(tensor: onnx.TensorProto) -> dict[str, str]:
    return {str(entry.key): str(entry.value) for entry in tensor.external_data}


def _inside(path: Path, location: str) -> Path:
    """Return the file a location names; a model must not make this program read files elsewhere."""
    plain = PurePosixPath(location)
    absolute = plain.is_absolute() or PureWindowsPath(location).is_absolute() or "\0" in location
    file = path.parent / location.replace("\0", "")
    outside = absolute or not location or ".." in plain.parts or ".." in PureWindowsPath(location).parts
    if outside or not file.resolve().is_relative_to(path.parent.resolve()):
        raise BadInput(
            "E-MODEL-EXTERNAL-DATA",
            f"{path} keeps weights in {location!r}, which is not inside its folder",
            "put the file itself, no link, beside the model, or save the model as one file",
        )
    return file
