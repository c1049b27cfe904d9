"""The float16 parity check: it sees what this processor's own float16 session hides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from benches import base_of
from forms import ranges_of, simplified
from models import model_of
from onnx import TensorProto, helper
from zoo import ZOO, feeds_for

from devices.host import detect
from edge_runtime.inference.ort import OrtEngine
from edge_runtime.inference.preprocess import Preprocess
from optimizer import float16_parity
from optimizer.bases import observed
from optimizer.budget import Budget
from optimizer.cache import Cache
from optimizer.data import load_dataset
from optimizer.executor import silent
from optimizer.load import load_model
from optimizer.quantize import quantize
from optimizer.recipe import Recipe
from optimizer.schemes import Float16
from optimizer.simplify import simplify
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


def test_an_activation_that_calibration_saw_overflow_is_kept_float() -> None:
    """Every activation is observed for this form, also those that int8 never asks about: it comes through whole."""
    terms = Terms(THIRTY, None, Budget.parse("1pt"), 1)
    made = build((base_of(_up_and_down(1e4), THIRTY["x"]), terms), Order("cpu-fp16", "float16", Recipe(Float16())))
    assert made.rejected is None
    kept = {item.name: item.data_type for item in onnx.load_model_from_string(made.data).graph.initializer}
    assert kept == {"one": TensorProto.FLOAT16, "up": TensorProto.FLOAT, "down": TensorProto.FLOAT}


def test_raw_sensors_stay_float(assets: Path) -> None:
    """The turbofan model subtracts 9000 from 9050: in float16 that costs the forecast, unless it stays as it is."""
    model = load_model(assets / "turbofan_rul/model.onnx")
    samples = load_dataset(str(assets / "turbofan_rul/calib.npz"), model.inputs, Preprocess())
    data = simplify(model.data, samples.head(4)).data
    base = observed(Base("", data, calibration=samples), Cache(), silent)
    terms = Terms(samples.head(1), None, Budget.parse("1pt"), 1)
    assert build((base, terms), Order("cpu-fp16", "float16", Recipe(Float16()))).rejected is None
    found = float16_parity.fault(data, quantize(data, Recipe(Float16()), {}), samples.head(32))
    assert found is not None
    assert "too inexact" in found


def test_a_form_keeps_its_interface_while_it_is_checked() -> None:
    """Inputs, outputs and their types are those of the form."""
    form = quantize(_up_and_down(2.0), Recipe(Float16()), {})
    checked = onnx.load_model_from_string(float16_parity.as_stored(form)).graph
    assert [item.name for item in (*checked.input, *checked.output)] == ["x", "y"]
