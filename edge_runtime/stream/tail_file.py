"""Window tails as bytes, so that a restart continues every stream where it was."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TypeAlias

import msgspec
import numpy as np

from edge_runtime.stream.window import Tail, Windows

Saved: TypeAlias = dict[str, dict[str, Tail]]  # pipeline -> stream -> tail

_FORMAT = 1
_DIGEST_BYTES = 32


class _SavedTail(msgspec.Struct, array_like=True):
    count: int
    shape: tuple[int, int]
    rows: bytes  # float32, little-endian, C order


class _SavedFile(msgspec.Struct):
    format: int
    pipelines: dict[str, dict[str, _SavedTail]]


def encode(windows: Mapping[str, Windows]) -> bytes:
    """Return the tails of all pipelines, behind the SHA-256 of what follows."""
    pipelines = {
        name: {
            stream: _SavedTail(tail.count, _shape(tail), tail.rows.astype("<f4").tobytes())
            for stream, tail in one.tails()
        }
        for name, one in windows.items()
    }
    body = msgspec.msgpack.encode(_SavedFile(_FORMAT, pipelines))
    return hashlib.sha256(body).digest() + body


def decode(data: bytes) -> Saved | None:
    """Return the saved tails, None where the bytes are damaged or of another format."""
    digest, body = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        return None
    try:
        saved = msgspec.msgpack.decode(body, type=_SavedFile)
    except msgspec.DecodeError:
        return None
    if saved.format != _FORMAT:
        return None
    return {
        name: {
            stream: Tail(tail.count, np.frombuffer(tail.rows, "<f4").reshape(tail.shape))
            for stream, tail in one.items()
        }
        for name, one in saved.pipelines.items()
    }


def _shape(tail: Tail) -> tuple[int, int]:
    size, features = tail.rows.shape
    return size, features
