"""Sizes that do not depend on the batch become constants."""

from __future__ import annotations

import numpy as np
import pytest
from rewriting import operators, rewritten, unchanged
from zoo import Net, feeds_for, mobile_cnn

from optimizer.simplify import settle_shapes, simplify


def test_padding_chains_fold_to_constants() -> None:
    """Nine Pads of computed size keep constant pads only, though each depends on the one before it."""
    after = operators(rewritten(mobile_cnn(), settle_shapes.apply))
    assert after.keys() & {"Shape", "Gather", "Ceil", "Cast", "Max", "Sub", "Unsqueeze", "Concat"} == set()
    assert after["Pad"] == 8


def test_the_whole_chain_merges_the_padding_into_convolutions() -> None:
    """After simplify nothing of it is left, and the batch is still open."""
    model = mobile_cnn()
    result = simplify(model.SerializeToString(), feeds_for(model))
    assert result.after.keys() == {"Conv", "Clip", "Add", "GlobalAveragePool", "Reshape", "Gemm"}
    assert result.before["Shape"] == 17
    rewritten(model, lambda data: simplify(data, feeds_for(model)).data)


@pytest.mark.parametrize("by", ["Gather", "Slice"])
def test_a_size_of_the_batch_stays(by: str) -> None:
    """What depends on the batch is computed at run time, as before."""
    net = Net(0)
    shape = net.add("Shape", ["x"])
    if by == "Gather":
        count = net.add("Gather", [shape, net.constant([0], np.int64)], axis=0)
    else:
        count = net.add("Slice", [shape, *(net.constant([v], np.int64) for v in (0, 1, 0))])
    ones = net.add("Expand", [net.constant([[1.0]]), net.add("Concat", [count, net.constant([4], np.int64)], axis=0)])
    net.add("Add", ["x", ones], "y")
    assert unchanged(net.model({"x": ["N", 4]}, {"y": ["N", 4]}), settle_shapes.apply)


def test_a_batch_and_a_side_that_are_open_stay_apart() -> None:
    """[N, H, 4] reshaped to [N, -1] copies its own batch; reshaped by another tensor's batch it does not."""
    for source, expected in (("x", False), ("z", True)):
        net = Net(0)
        count = net.add("Gather", [net.add("Shape", [source]), net.constant([0], np.int64)], axis=0)
        net.add("Reshape", ["x", net.add("Concat", [count, net.constant([-1], np.int64)], axis=0)], "y")
        model = net.model({"x": ["N", 3, 4], "z": ["M", 2]}, {"y": [None, None]})
        assert unchanged(model, settle_shapes.apply) is expected


def test_what_is_static_folds_in_any_batch() -> None:
    """Shape with start and end, negative places, and arithmetic on several sizes."""
    net = Net(0)
    sides = net.add("Shape", ["x"], start=1)
    last = net.add("Gather", [net.add("Shape", ["x"]), net.constant(-1, np.int64)], axis=0)
    area = net.add("Mul", [net.add("Gather", [sides, net.constant(1, np.int64)], axis=0), last])
    shape = net.add(
        "Concat", [net.constant([-1], np.int64), net.add("Unsqueeze", [area, net.constant([0], np.int64)])], axis=0
    )
    net.add("Reshape", ["x", shape], "y")
    after = rewritten(net.model({"x": ["N", 2, 3, 5]}, {"y": [None, 15]}), settle_shapes.apply)
    assert operators(after) == {"Reshape": 1}
