"""What each layer's rounding costs: one layer at a time in int8, everything else in float."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from edge_runtime.errors import BadInput
from edge_runtime.inference.batch import run_all
from edge_runtime.inference.engine import Array, Feeds
from edge_runtime.inference.ort import OrtEngine
from optimizer.evaluate import noise_in
from optimizer.executor import Workers
from optimizer.placement import layers_of
from optimizer.recipe import Recipe
from optimizer.schemes import Int8Static
from optimizer.workbench import Base, form

_BATCH = 32


@dataclass(frozen=True)
class _Bench:
    """What all layers are measured with."""

    base: Base
    samples: Feeds
    nodes: tuple[str, ...]
    reference: Mapping[str, Array]


def layer_losses(
    base: Base, samples: Feeds, workers: Workers, progress: Callable[[int, int], None]
) -> dict[str, float]:
    """Return layer name -> noise that its rounding alone puts on the outputs, worst layer first.

    The loss is the mean squared difference to the float32 outputs divided by their variance, summed over outputs: 0 is
    no loss, 1 drowns the signal. A layer that cannot be quantized alone is left out.

    Args:
        base: The float32 model and what was observed on it.
        samples: A few samples; all of them run once per layer.
        workers: Who measures several layers at once.
        progress: Called with (layers done, layers in all).
    """
    reference = run_all(OrtEngine(base.data), samples, _BATCH)
    nodes = tuple(node.name for node in onnx.load_model_from_string(base.data).graph.node)
    layers = layers_of(base.data).names
    losses = workers.map(_loss, _Bench(base, samples, nodes, reference), layers, progress)
    known = {layer: loss for layer, loss in zip(layers, losses, strict=True) if loss is not None}
    return dict(sorted(known.items(), key=lambda item: -item[1]))


def _loss(bench: _Bench, layer: str) -> float | None:
    others = tuple(name for name in bench.nodes if name != layer)
    try:
        outputs = run_all(OrtEngine(form(bench.base, Recipe(Int8Static(), keep_float=others))), bench.samples, _BATCH)
    except BadInput:
        return None
    floats = [name for name, array in bench.reference.items() if np.issubdtype(array.dtype, np.floating)]
    return sum(noise_in(outputs[name], bench.reference[name]) for name in floats)
