"""The float16 parity check: it sees what this processor's own float16 session hides."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from forms import ranges_of, simplified
from models import model_of
from onnx import helper
from zoo import ZOO, feeds_for

from devices.host import detect
from edge_runtime.inference.ort import OrtEngine
from optimizer import float16_parity
from optimizer.budget import Budget
from optimizer.quantize import quantize
from optimizer.recipe import Recipe
from optimizer.schemes import Float16
from optimizer.workbench import Base, Order, Terms, build

THIRTY = {"x": np.full((2, 8), 30, np.float32)}


def _up_and_down(middle: float) -> bytes:
    """Return x * 1 * middle / middle."""
    weights = {"one": np.eye(8, dtype=np.float32), "up": np.eye(8, dtype=np.float32) * middle}
    weights["down"] = np.eye(8, dtype=np.float32) / middle
    nodes = [
        helper.make_node("MatMul", ["x", "one"], ["a"], "first"),
        helper.make_node("MatMul", ["a", "up"], ["b"], "second"),
        helper.make_node("MatMul", ["b", "down"], ["y"], "third"),
    ]
    return model_of(nodes, weights, {"x": ["N", 8]}, {"y": ["N", 8]}).SerializeToString()


@pytest.mark.parametrize("name", ZOO)
def test_stand_ins_pass(name: str) -> None:
    """Residuals, depthwise, SiLU, transformer, LSTM, `If`: float16 rounds them a little and no more."""
    model = ZOO[name]()
    feeds = feeds_for(model, 4)
    data = simplified(model, feeds)
    assert float16_parity.fault(data, quantize(data, Recipe(Float16()), ranges_of(data, feeds)), feeds) is None


def test_an_overflow_inside_is_seen() -> None:
    """300000 between two products does not fit; a session on this processor would hide it in float32."""
    data = _up_and_down(1e4)
    form = quantize(data, Recipe(Float16()), {})
    if "asimdhp" not in detect().features:
        assert np.isfinite(OrtEngine(form).run(THIRTY)["y"]).all()
    found = float16_parity.fault(data, form, THIRTY)
    assert found is not None
    assert "overflows" in found


def test_a_node_kept_float_by_its_range_does_not_overflow() -> None:
    """The block list is what the check is met with."""
    data = _up_and_down(1e4)
    form = quantize(data, Recipe(Float16()), {"a": (0.0, 30.0), "b": (0.0, 3e5)})
    assert float16_parity.fault(data, form, THIRTY) is None


def test_too_much_rounding_is_seen() -> None:
    """A small difference of large numbers: 2000.3 - 2000 in steps of 1."""
    weights = {"high": np.full(8, 2000, np.float32)}
    nodes = [helper.make_node("Add", ["x", "high"], ["a"], "up"), helper.make_node("Sub", ["a", "high"], ["y"], "down")]
    data = model_of(nodes, weights, {"x": ["N", 8]}, {"y": ["N", 8]}).SerializeToString()
    x = {"x": np.random.default_rng(0).normal(0, 0.5, (4, 8)).astype(np.float32)}
    found = float16_parity.fault(data, quantize(data, Recipe(Float16()), {}), x)
    assert found is not None
    assert "dB" in found


def test_a_form_that_overflows_is_rejected_with_the_reason() -> None:
    """It never gets to be timed or served."""
    data = _up_and_down(1e4)
    terms = Terms(THIRTY, None, Budget.parse("1pt"), 1)
    made = build((Base("", data), terms), Order("cpu-fp16", "float16", Recipe(Float16())))
    assert made.rejected is not None
    assert "overflows" in made.rejected


def test_a_form_keeps_its_interface_while_it_is_checked() -> None:
    """Inputs, outputs and their types are those of the form."""
    form = quantize(_up_and_down(2.0), Recipe(Float16()), {})
    checked = onnx.load_model_from_string(float16_parity.as_stored(form)).graph
    assert [item.name for item in (*checked.input, *checked.output)] == ["x", "y"]
