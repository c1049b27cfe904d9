"""Histograms as bytes and back, for the cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from optimizer.calibrate.histogram import Histogram


def encode(histograms: Mapping[str, Histogram]) -> bytes:
    """Return histograms as MessagePack; the same ones always give the same bytes."""
    return msgspec.msgpack.encode({name: _plain(one) for name, one in histograms.items()})


def decode(data: bytes) -> dict[str, Histogram]:
    """Return what `encode` was given."""
    return {name: Histogram.restored(_arrays(plain)) for name, plain in msgspec.msgpack.decode(data).items()}


def _plain(histogram: Histogram) -> dict[str, Any]:
    state = histogram.state()
    return {
        name: [str(value.dtype), value.tobytes()] if isinstance(value, np.ndarray) else value
        for name, value in state.items()
    }


def _arrays(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: np.frombuffer(value[1], value[0]).copy() if isinstance(value, list) else value
        for name, value in plain.items()
    }
