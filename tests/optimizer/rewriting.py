"""Holding a rewrite against the model it was given: what it leaves, and that the numbers stay."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from zoo import feeds_for

from edge_runtime.inference.ort import OrtEngine
from optimizer.load import count_operators


def rewritten(model: onnx.ModelProto, apply: Callable[[bytes], bytes]) -> onnx.ModelProto:
    """Apply a rewrite that must apply, and check that batches of 1 and 3 give the same numbers."""
    before = model.SerializeToString()
    after = apply(before)
    assert after != before
    for count in (1, 3):
        feeds = feeds_for(model, count, seed=count)
        expected, actual = OrtEngine(before).run(feeds), OrtEngine(after).run(feeds)
        for name, values in expected.items():
            assert values.shape == actual[name].shape
            np.testing.assert_allclose(actual[name], values, rtol=1e-4, atol=1e-5 * np.abs(values).max())
    return onnx.load_model_from_string(after)


def operators(model: onnx.ModelProto) -> dict[str, int]:
    """Return operator -> count."""
    return count_operators(model.graph)


def unchanged(model: onnx.ModelProto, apply: Callable[[bytes], bytes]) -> bool:
    """Tell whether a rewrite gives the very same bytes back."""
    data = model.SerializeToString()
    return apply(data) == data
