"""Which inputs are images, and where their colours are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_runtime.inference.engine import Array

_COLOURS = (1, 3, 4)
_RGB = 3
_SMALLEST = 8  # pixels along an edge


def channel_axis(shape: Sequence[int]) -> int | None:
    """Return the axis of the colours of [N,C,H,W] or [N,H,W,C]; None where it is neither, or could be both."""
    if len(shape) != 4:
        return None
    fits = [axis for axis in (1, 3) if shape[axis] in _COLOURS and min(_edges(shape, axis)) >= _SMALLEST]
    return fits[0] if len(fits) == 1 else None


def colour_axis(x: Array) -> int | None:
    """Return the axis of three colours, None where there are none."""
    axis = channel_axis(x.shape)
    return axis if axis is not None and x.shape[axis] == _RGB else None


def reversed_colours(x: Array) -> Array | None:
    """Return images with red and blue exchanged, None where there are no three colours."""
    axis = colour_axis(x)
    return np.ascontiguousarray(np.flip(x, axis)) if axis is not None else None


def _edges(shape: Sequence[int], axis: int) -> list[int]:
    return [size for index, size in enumerate(shape) if index not in (0, axis)]
