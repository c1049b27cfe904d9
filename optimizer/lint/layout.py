"""Samples whose axes were renamed (reshape) where they had to be moved (transpose): neighbours give it away."""

from __future__ import annotations

import numpy as np

from edge_runtime.inference.engine import Array
from optimizer.lint.excerpt import Excerpt
from optimizer.lint.finding import Finding
from optimizer.lint.image import channel_axis

_FEWEST = 8
_SMOOTHER = 0.75  # of the roughness as given; 0.5 where real images were reshaped, above 1.5 where they were not
_SIGNAL_SMOOTHER = 0.2  # in signals without two pixels' directions to agree, it takes more


def repaired(x: Array) -> Array | None:
    """Return samples in the layout they probably have, None where they are fine as they are."""
    if len(x) < _FEWEST:
        return None
    axis = channel_axis(x.shape)
    if axis is not None and x.shape[axis] > 1:
        return _image(x, axis)
    return _signal(x) if x.ndim == 3 else None


def finding(name: str, excerpt: Excerpt) -> Finding:
    """Return what to say where samples were reshaped."""
    x = excerpt.feeds[name]
    sizes = x.shape[1:]
    if x.ndim == 3:
        meant, line = "[N,channels,time]", f"x.reshape(-1, {sizes[1]}, {sizes[0]}).transpose(0, 2, 1)"
    elif channel_axis(x.shape) == 1:
        meant, line = "[N,C,H,W]", f"x.reshape(-1, {sizes[1]}, {sizes[2]}, {sizes[0]}).transpose(0, 3, 1, 2)"
    else:
        meant, line = "[N,H,W,C]", f"x.reshape(-1, {sizes[2]}, {sizes[0]}, {sizes[1]}).transpose(0, 2, 3, 1)"
    return Finding(
        "L-LAYOUT",
        f"{excerpt.name}, input {name}: values vary less along the axes of another layout; they seem to have been "
        f"reshaped to {meant} and not transposed",
        f"move the axes: numpy.savez('data.npz', {name}={line}, ...)",
    )


def _image(x: Array, axis: int) -> Array | None:
    n, *sizes = x.shape
    if axis == 1:
        channels, height, width = sizes
        other = x.reshape(n, height, width, channels).transpose(0, 3, 1, 2)
        spatial = (2, 3)
    else:
        height, width, channels = sizes
        other = x.reshape(n, channels, height, width).transpose(0, 2, 3, 1)
        spatial = (1, 2)
    rough = [_roughness(x, along) for along in spatial]
    rough_other = [_roughness(other, along) for along in spatial]
    return np.ascontiguousarray(other) if max(rough_other) < _SMOOTHER * min(rough) else None


def _signal(x: Array) -> Array | None:
    """Compare [N,A,B] with what it is if it was [N,B,A] before: smooth along time, and channels that differ.

    Smoothness alone would be fooled by a period of as many steps as there are channels.
    """
    n, first, second = x.shape
    if min(first, second) == 1:
        return None
    other = x.reshape(n, second, first).transpose(0, 2, 1)
    rough = min(_roughness(x, 1), _roughness(x, 2))
    smooth = _roughness(other, 2) < _SIGNAL_SMOOTHER * rough
    channels_differ = _explained(other) > 0.5 > 2 * _explained(x)
    return np.ascontiguousarray(other) if smooth and channels_differ else None


def _roughness(x: Array, axis: int) -> float:
    """Return the mean step between neighbours along an axis; infinite where nothing varies."""
    values = x.astype(np.float64)
    if x.shape[axis] < 2 or not values.std():
        return float("inf")
    return float(np.abs(np.diff(values, axis=axis)).mean() / values.std())


def _explained(x: Array) -> float:
    """Return the share of the variance that knowing the channel (axis 1) explains."""
    values = x.astype(np.float64)
    total = values.var()
    return float(values.mean(axis=(0, 2)).var() / total) if total else 0.0
