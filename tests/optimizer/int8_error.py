"""What a float32 model loses in static int8: the one place where tests of corrections touch the quantizer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_runtime.inference.batch import run_all
from edge_runtime.inference.engine import Feeds
from edge_runtime.inference.ort import OrtEngine
from optimizer.calibrate.observe import observe_ranges
from optimizer.data import Dataset
from optimizer.quantize import quantize, tensors_to_observe
from optimizer.schemes import Int8Static


def quantizer(samples: Feeds, keep_float: tuple[str, ...] = ()) -> Callable[[bytes], bytes]:
    """Return what builds the static int8 form of a model, its ranges observed anew each time."""

    def quantized(data: bytes) -> bytes:
        dataset = Dataset(dict(samples), None, "samples")
        ranges = observe_ranges(data, tensors_to_observe(data), dataset, lambda done, total: None)
        return quantize(data, Int8Static(), ranges, keep_float)

    return quantized


def int8_error(data: bytes, reference: bytes, samples: Feeds, fresh: Feeds) -> float:
    """Return the mean squared error of the int8 form of `data` against `reference`, relative to the variance.

    Args:
        data: The model to quantize.
        reference: The float32 model as it was.
        samples: What ranges are observed on.
        fresh: What the error is taken on.
    """
    expected = run_all(OrtEngine(reference), fresh)
    actual = run_all(OrtEngine(quantizer(samples)(data)), fresh)
    return max(float(np.mean((actual[n] - y) ** 2) / np.var(y)) for n, y in expected.items())


def float_difference(data: bytes, reference: bytes, fresh: Feeds) -> float:
    """Return the largest difference between two float32 models, relative to the largest output."""
    expected, actual = run_all(OrtEngine(reference), fresh), run_all(OrtEngine(data), fresh)
    assert set(actual) == set(expected)
    return max(float(np.abs(actual[n] - y).max() / np.abs(y).max()) for n, y in expected.items())


def interface(data: bytes) -> tuple[object, object]:
    """Return inputs and outputs: names, dtypes, shapes."""
    engine = OrtEngine(data)
    return engine.inputs, engine.outputs


def constants(data: bytes) -> dict[str, NDArray[np.float32]]:
    """Return a model's constants by name."""
    graph = onnx.load_model_from_string(data).graph
    return {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
