"""What flows through a model on a few samples, as corrections need it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx
from onnx import helper

from edge_runtime.inference.batch import batch_size_of, batches, count_samples, fill_up
from edge_runtime.inference.engine import Array, Feeds
from edge_runtime.inference.ort import OrtEngine, SessionSettings


def watched(data: bytes, tensors: Sequence[str]) -> OrtEngine:
    """Return the model, not fused, with more of its float tensors among its outputs."""
    model = onnx.load_model_from_string(data)
    present = {item.name for item in (*model.graph.output, *model.graph.input)}
    for name in tensors:
        if name not in present:
            model.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return OrtEngine(model.SerializeToString(), SessionSettings(optimize=False))


def full_batches(engine: OrtEngine, samples: Feeds, wanted: int) -> Iterator[tuple[int, dict[str, Array]]]:
    """Yield (samples in it, batch); where the model fixes its batch, the last one is filled up with its last sample.

    Inputs of different lengths have no common sample axis; they are one sample.
    """
    if len({len(array) for array in samples.values() if array.ndim}) != 1:
        yield 1, dict(samples)
        return
    for batch in batches(samples, batch_size_of(engine, wanted)):
        count = count_samples(batch)
        yield count, fill_up(batch, batch_size_of(engine, count) - count)


def tensor_values(data: bytes, tensors: Sequence[str], samples: Feeds, wanted: int = 8) -> Iterator[dict[str, Array]]:
    """Yield the values of float tensors, inputs and outputs of the model included, batch by batch."""
    engine = watched(data, tensors)
    for _, batch in full_batches(engine, samples, wanted):
        values = {**batch, **engine.run(batch)}
        yield {name: values[name] for name in tensors}


def channel_peaks(data: bytes, axes: Mapping[str, int], samples: Feeds) -> dict[str, Array]:
    """Return tensor name -> largest magnitude per channel; `axes` says along which axis a tensor's channels lie."""
    peaks: dict[str, Array] = {}
    for values in tensor_values(data, list(axes), samples):
        for name, array in values.items():
            others = tuple(axis for axis in range(array.ndim) if axis != axes[name] % array.ndim)
            seen = np.abs(array).max(axis=others)
            peaks[name] = np.maximum(peaks[name], seen) if name in peaks else seen
    return peaks
