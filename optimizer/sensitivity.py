"""What each layer's rounding costs: one layer at a time in int8, everything else in float."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx

from edge_runtime.inference.batch import run_all
from edge_runtime.inference.engine import Array, Feeds
from edge_runtime.inference.ort import OrtEngine
from optimizer.candidates import build
from optimizer.placement import layers_of
from optimizer.quantize import Ranges
from optimizer.recipe import Recipe
from optimizer.schemes import Int8Static

_BATCH = 32


def layer_losses(data: bytes, ranges: Ranges, samples: Feeds, progress: Callable[[int, int], None]) -> dict[str, float]:
    """Return layer name -> noise that its rounding alone puts on the outputs, worst layer first.

    The loss is the mean squared difference to the float32 outputs divided by their variance, summed over outputs: 0 is
    no loss, 1 drowns the signal. A layer that cannot be quantized alone is left out.

    Args:
        data: The simplified float32 model, its nodes named.
        ranges: Activation ranges.
        samples: A few samples; all of them run once per layer.
        progress: Called with (layers done, layers in all).
    """
    reference = run_all(OrtEngine(data), samples, _BATCH)
    layers = layers_of(data)
    everything = [node.name for node in onnx.load_model_from_string(data).graph.node]
    one = {name: array[:1] for name, array in samples.items()}
    losses = {}
    for done, layer in enumerate(layers.names, start=1):
        others = tuple(name for name in everything if name != layer)
        form = build(data, Recipe(Int8Static(), keep_float=others), ranges, 1, one)
        if not form.rejected:
            losses[layer] = _noise(reference, run_all(form.engine(), samples, _BATCH))
        progress(done, len(layers))
    return dict(sorted(losses.items(), key=lambda item: -item[1]))


def _noise(reference: Mapping[str, Array], outputs: Mapping[str, Array]) -> float:
    total = 0.0
    for name, expected in reference.items():
        if np.issubdtype(expected.dtype, np.floating):
            difference = outputs[name].astype(np.float64) - expected
            total += float(np.mean(difference**2) / max(float(np.var(expected)), 1e-12))
    return total
