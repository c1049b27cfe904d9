"""What changes nothing goes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from rewriting import operators, rewritten, unchanged
from zoo import Net, conv1d

from optimizer.simplify import drop_no_ops

LARGE = np.iinfo(np.int64).max


def _between(*nodes: tuple[str, list[object]], output: list[int | str] | None = None) -> onnx.ModelProto:
    """Put nodes with int64 constants between two Relus over [N, 3, 8, 8]."""
    net = Net(0)
    x = net.add("Relu", ["x"])
    for op, constants in nodes:
        attributes = {"axis": 1} if op in {"Concat", "Flatten"} else {}
        x = net.add(op, [x, *(net.constant(value, np.int64) for value in constants)], **attributes)
    net.add("Relu", [x], "y")
    return net.model({"x": ["N", 3, 8, 8]}, {"y": output or ["N", 3, 8, 8]})


@pytest.mark.parametrize(
    ("op", "constants"),
    [
        ("Pad", [[0] * 8]),
        ("Slice", [[0], [LARGE], [2]]),
        ("Slice", [[0, 0], [LARGE, LARGE], [1, 3], [1, 1]]),
        ("Expand", [[1, 3, 8, 1]]),
        ("Expand", [[8, 8]]),
        ("Concat", []),
    ],
)
def test_single_nodes(op: str, constants: list[object]) -> None:
    """Each form of doing nothing."""
    assert operators(rewritten(_between((op, constants)), drop_no_ops.apply)) == {"Relu": 2}


@pytest.mark.parametrize(
    ("op", "constants", "output"),
    [
        ("Pad", [[0, 0, 0, 1] + [0] * 4], ["N", 3, 8, 9]),
        ("Slice", [[1], [LARGE], [2]], ["N", 3, 7, 8]),
        ("Slice", [[0], [7], [2]], ["N", 3, 7, 8]),
        ("Slice", [[0], [LARGE], [2], [2]], ["N", 3, 4, 8]),
        ("Expand", [[1, 1, 1, 8, 8]], [1, "N", 3, 8, 8]),
    ],
)
def test_nodes_that_do_something_stay(op: str, constants: list[object], output: list[int | str]) -> None:
    """One row less, every second row, one dimension more."""
    assert unchanged(_between((op, constants), output=output), drop_no_ops.apply)


def test_views_that_come_back_go() -> None:
    """Unsqueeze and Squeeze of the same axis."""
    model = _between(("Unsqueeze", [[1]]), ("Squeeze", [[1]]))
    assert operators(rewritten(model, drop_no_ops.apply)) == {"Relu": 2}


def test_a_chain_of_views_is_its_last_reshape() -> None:
    """Three become one; a Reshape that copies sizes of the one before it stays."""
    model = _between(("Reshape", [[-1, 24, 8]]), ("Flatten", []), ("Reshape", [[-1, 12, 16]]), output=["N", 12, 16])
    assert operators(rewritten(model, drop_no_ops.apply)) == {"Relu": 2, "Reshape": 1}
    copying = _between(("Reshape", [[-1, 24, 8]]), ("Reshape", [[0, 0, 2, 4]]), output=["N", 24, 2, 4])
    assert unchanged(copying, drop_no_ops.apply)


def test_dead_nodes_and_weights_go() -> None:
    """What no output needs is not in the file any more."""
    net = Net(0)
    net.add("Sigmoid", [net.conv("x", (3, 4), (3, 3))])
    net.add("Relu", ["x"], "y")
    after = rewritten(net.model({"x": ["N", 3, 8, 8]}, {"y": ["N", 3, 8, 8]}), drop_no_ops.apply)
    assert operators(after) == {"Relu": 1}
    assert len(after.graph.initializer) == 0


def test_a_model_without_any_stays() -> None:
    """The very same bytes come back."""
    assert unchanged(conv1d(), drop_no_ops.apply)
