"""What is observed on a float32 model before forms are made of it: ranges, and what has to stay float."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

from optimizer.cache import Cache
from optimizer.calibrate import store
from optimizer.calibrate.observe import observe
from optimizer.protect import protected
from optimizer.quantize import tensors_to_observe
from optimizer.tools import conditions
from optimizer.workbench import Base


def observed(base: Base, cache: Cache, progress: Callable[[int, int], None]) -> Base:
    """Return a base with the histograms of its calibration samples and the nodes that have to stay float32.

    Args:
        base: A float32 model, its nodes named, and its calibration samples.
        cache: Where observations are kept.
        progress: Called with (samples done, samples in all).
    """
    if base.calibration is None:
        return base
    tensors = tensors_to_observe(base.data)
    parts = {
        "model": hashlib.sha256(base.data).hexdigest(),
        "samples": base.calibration.sha256,
        "tensors": tensors,
        "memory": base.memory,
        "tools": conditions(),
    }
    entry = cache.get("histograms", parts)
    if entry is None:
        histograms = observe(base.data, tensors, base.calibration, progress, base.memory)
        cache.put("histograms", parts, store.encode(histograms))
    else:
        histograms = store.decode(entry)
    return replace(base, histograms=histograms, protected=protected(base.data, histograms))
