"""Window tails as bytes, so that a restart continues every stream where it was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import numpy as np

from edge_runtime.digest import sha256
from edge_runtime.inference.engine import Array
from edge_runtime.stream.count_stream import Tail
from edge_runtime.stream.time_stream import TimeTail
from edge_runtime.stream.window import AnyTail

Tails: TypeAlias = Iterable[tuple[str, AnyTail]]

_FORMAT = 2
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class Saved:
    """What a file holds.

    Attributes:
        clean: Whether it was written by a clean stop, and so nothing came in after it.
        pipelines: Pipeline -> stream -> tail.
    """

    clean: bool
    pipelines: dict[str, dict[str, AnyTail]]


class _CountTail(msgspec.Struct, array_like=True):
    count: int
    shape: tuple[int, int]
    rows: bytes  # float32, little-endian, C order


class _TimeTail(msgspec.Struct, array_like=True):
    grid: str
    count: int
    newest: float
    watermark: float
    next: int
    features: int
    times: bytes  # float64, little-endian
    rows: bytes  # as above


class _Pipeline(msgspec.Struct):
    counted: dict[str, _CountTail] = {}
    timed: dict[str, _TimeTail] = {}


class _File(msgspec.Struct):
    format: int
    clean: bool
    pipelines: dict[str, _Pipeline]


class _Format(msgspec.Struct):
    format: int


class _FirstFile(msgspec.Struct):
    """Format 1: written at clean stops only, and without time windows."""

    pipelines: dict[str, dict[str, _CountTail]]


def encode(pipelines: Mapping[str, Tails], clean: bool) -> bytes:
    """Return the tails of all pipelines, behind the SHA-256 of what follows."""
    body = msgspec.msgpack.encode(_File(_FORMAT, clean, {name: _packed(tails) for name, tails in pipelines.items()}))
    return sha256(body).digest() + body


def decode(data: bytes) -> Saved | None:
    """Return what was saved, None where the bytes are damaged or of a format that is not known."""
    digest, body = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if sha256(body).digest() != digest:
        return None
    try:
        return _decoded(body)
    except (msgspec.DecodeError, ValueError):  # the latter where the bytes do not fill the shape
        return None


def _decoded(body: bytes) -> Saved | None:
    found = msgspec.msgpack.decode(body, type=_Format).format
    if found == 1:
        first = msgspec.msgpack.decode(body, type=_FirstFile)
        return Saved(True, {name: _unpacked(_Pipeline(tails)) for name, tails in first.pipelines.items()})
    if found != _FORMAT:
        return None
    file = msgspec.msgpack.decode(body, type=_File)
    return Saved(file.clean, {name: _unpacked(pipeline) for name, pipeline in file.pipelines.items()})


def _packed(tails: Tails) -> _Pipeline:
    packed = _Pipeline()
    for stream, tail in tails:
        if isinstance(tail, Tail):
            size, features = tail.rows.shape
            packed.counted[stream] = _CountTail(tail.count, (size, features), _bytes(tail.rows))
        else:
            times, features = tail.times.astype("<f8").tobytes(), tail.rows.shape[1]
            numbers = (tail.grid, tail.count, tail.newest, tail.watermark, tail.next, features)
            packed.timed[stream] = _TimeTail(*numbers, times, _bytes(tail.rows))
    return packed


def _unpacked(pipeline: _Pipeline) -> dict[str, AnyTail]:
    tails: dict[str, AnyTail] = {}
    for stream, counted in pipeline.counted.items():
        tails[stream] = Tail(counted.count, np.frombuffer(counted.rows, "<f4").reshape(counted.shape))
    for stream, timed in pipeline.timed.items():
        times, rows = np.frombuffer(timed.times, "<f8"), np.frombuffer(timed.rows, "<f4")
        numbers = (timed.grid, timed.count, timed.newest, timed.watermark, timed.next)
        tails[stream] = TimeTail(*numbers, times, rows.reshape(-1, timed.features))
    return tails


def _bytes(rows: Array) -> bytes:
    return rows.astype("<f4").tobytes()
