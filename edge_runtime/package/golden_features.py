"""Golden windows: the proof, on this very machine, that features are computed as where the package was built."""

from __future__ import annotations

import numpy as np

from edge_runtime.errors import Refused
from edge_runtime.inference.engine import Array
from edge_runtime.package import golden
from edge_runtime.package.manifest import Manifest

# Another processor or another numpy rounds float64 sums and transforms otherwise: 1e-16 of the largest term each.
_RELATIVE = 1e-4
_ABSOLUTE = 1e-9  # of the largest square of a reading, at least of 1: where terms cancel, the result may be far smaller


def check(manifest: Manifest, data: bytes) -> None:
    """Compute the features of the golden windows and compare them, preprocessed, with the golden inputs.

    Whether a golden input is right is asked before preprocess, where the error is known: it must lie between what
    features a little smaller and a little larger become.

    Args:
        manifest: Of the package; one without features has no such windows, and nothing is compared.
        data: The member with the golden samples.

    Raises:
        Refused: E-GOLDEN-MISMATCH, the features differ; E-GOLDEN-UNREADABLE, the windows are missing or no arrays.
    """
    features = manifest.computed
    if features is None:
        return
    windows, expected = golden.windows_and_inputs(data)
    fitting = (features.size, features.channels)
    tensor = manifest.inputs[0] if len(manifest.inputs) == 1 else None
    if tensor is None or set(windows) != {tensor.name} or set(expected) != {tensor.name}:
        raise golden.unreadable("features need one input and its windows")
    window, given = windows[tensor.name], expected[tensor.name]
    if window.shape[1:] != fitting or window.dtype != np.float32 or given.dtype != np.dtype(tensor.dtype):
        raise golden.unreadable(f"its windows are {window.dtype}{window.shape}, its inputs {given.dtype}")
    found = features.fed(window, tensor.shape[1:])
    margin = _RELATIVE * np.abs(found) + _allowed(window).reshape((-1,) + (1,) * (found.ndim - 1))
    around = [(found + sign * margin).astype(np.float32) for sign in (-1, 1)]
    ends = [manifest.preprocess.apply(features_there).astype(tensor.dtype) for features_there in around]
    if given.shape != found.shape or not ((np.minimum(*ends) <= given) & (given <= np.maximum(*ends))).all():
        what = f"the features of its golden windows ({features}) are not those it was built with"
        raise Refused("E-GOLDEN-MISMATCH", what, golden.FIX)


def _allowed(windows: Array) -> Array:
    largest = np.abs(windows.astype(np.float64)).max(axis=(1, 2))
    return np.asarray(_ABSOLUTE * np.maximum(1.0, np.square(largest)))
