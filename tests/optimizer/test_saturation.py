"""Products that exceed 16 bits, told from the weights."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
from forms import static
from models import images, residual_convnet
from onnx import numpy_helper

from optimizer.saturation import largest_sums, saturating_layers


def test_the_largest_sum_is_that_of_trying_all_corners() -> None:
    """Sums are linear in the activations, so their extremes lie at 0 or 255."""
    rows = np.random.default_rng(0).integers(-127, 128, (50, 6)).astype(np.int8)
    for row, found in zip(rows.astype(int), largest_sums(rows), strict=True):
        sums = [
            abs(first * row[at] + second * row[at + 1])
            for at in (0, 2, 4)
            for first, second in itertools.product((0, 255), repeat=2)
        ]
        assert found == max(sums)


def test_layers_are_named_with_the_share_of_their_channels() -> None:
    """Two large weights side by side along the input channels saturate; halved weights do not."""
    data = residual_convnet().SerializeToString()
    form = onnx.load_model_from_string(static(data, {"x": images(20)}))
    found = {risk.layer: risk for risk in saturating_layers(form.SerializeToString())}
    assert set(found) == {"conv1", "conv2", "classifier"}
    assert all(0 < risk.channels <= 1 and risk.largest > 32767 for risk in found.values())
    for item in form.graph.initializer:
        if item.data_type == onnx.TensorProto.INT8:
            item.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(item) // 2, item.name))
    assert saturating_layers(form.SerializeToString()) == ()


def test_a_float_model_has_no_such_layers() -> None:
    """Nothing is multiplied in integers."""
    assert saturating_layers(residual_convnet().SerializeToString()) == ()
