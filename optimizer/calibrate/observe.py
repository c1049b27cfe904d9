"""Run the float32 model over the calibration samples and watch the tensors a scheme needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx

from edge_runtime.errors import BadInput
from edge_runtime.inference.batch import batch_size_of, batches, count_samples, fill_up
from edge_runtime.inference.engine import Array
from edge_runtime.inference.ort import OrtEngine, SessionSettings
from optimizer.calibrate.minmax import MinMax
from optimizer.data import Dataset

_BATCH = 8  # activations of this many samples are held at a time


def observe_ranges(
    data: bytes, tensors: Sequence[str], samples: Dataset, progress: Callable[[int, int], None]
) -> dict[str, tuple[float, float]]:
    """Return tensor name -> (smallest, largest) value over all samples.

    Args:
        data: The float32 model.
        tensors: Float tensors to watch: inputs, outputs or intermediate results.
        samples: Calibration samples.
        progress: Called with (samples done, samples in all).

    Raises:
        BadInput: E-CALIBRATION-NOT-FINITE, an activation was NaN or infinite.
    """
    engine = OrtEngine(_expose(data, tensors), SessionSettings(optimize=False))
    observers = {name: MinMax() for name in tensors}
    done = 0
    for batch in batches(samples.feeds, batch_size_of(engine, _BATCH)):
        for name, values in _activations(engine, batch):
            if name in observers:
                observers[name].update(values)
        done += count_samples(batch)
        progress(done, len(samples))
    ranges = {name: observer.range for name, observer in observers.items()}
    odd = [name for name, bounds in ranges.items() if not np.isfinite(bounds).all()]
    if odd:
        raise BadInput(
            "E-CALIBRATION-NOT-FINITE",
            f"the model computes NaN or infinity in {odd[0]} on {samples.source}",
            "check the scale of the calibration data against the training data (0 to 255 or 0 to 1?)",
        )
    return ranges


def _activations(engine: OrtEngine, batch: dict[str, Array]) -> list[tuple[str, Array]]:
    """Run one batch; where the model fixes its size, the last one repeats a sample, which changes no range."""
    count = count_samples(batch)
    filled = fill_up(batch, batch_size_of(engine, count) - count)
    return [*filled.items(), *engine.run(filled).items()]


def _expose(data: bytes, tensors: Sequence[str]) -> bytes:
    model = onnx.load_model_from_string(data)
    present = {output.name for output in model.graph.output} | {item.name for item in model.graph.input}
    for name in tensors:
        if name not in present:
            model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return model.SerializeToString()
