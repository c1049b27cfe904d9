"""The float32 models that int8 forms are made from, each with what was observed on it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from optimizer.cache import Cache
from optimizer.calibrate import store
from optimizer.calibrate.observe import observe
from optimizer.data import Dataset
from optimizer.protect import protected
from optimizer.quantize import tensors_to_observe
from optimizer.workbench import Base


def observed(
    label: str,
    data: bytes,
    calibration: Dataset,
    memory: int | None,
    cache: Cache,
    progress: Callable[[int, int], None],
) -> Base:
    """Return a base with its histograms and the nodes that have to stay float32.

    Args:
        label: What its forms carry in their names.
        data: The float32 model, its nodes named.
        calibration: The samples.
        memory: Bytes of activations held at a time, None for the default.
        cache: Where observations are kept.
        progress: Called with (samples done, samples in all).
    """
    tensors = tensors_to_observe(data)
    parts = {"model": hashlib.sha256(data).hexdigest(), "samples": calibration.sha256, "tensors": tensors}
    entry = cache.get("histograms", parts)
    if entry is None:
        histograms = observe(data, tensors, calibration, progress, memory)
        cache.put("histograms", parts, store.encode(histograms))
    else:
        histograms = store.decode(entry)
    return Base(label, data, histograms, calibration, protected(data, histograms))
