"""A model made to saturate, built for x86 with VNNI and without: what each package computes where sums saturate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from benches import QUICK, bench_of
from models import model_of
from numpy.typing import NDArray
from onnx import helper

from devices.host import int8_dot_products_saturate
from edge_runtime.inference.ort import GUARD, OrtEngine, SessionSettings
from edge_runtime.package.manifest import Needs
from optimizer import metrics
from optimizer.data import Dataset
from optimizer.evaluate import Budget
from optimizer.flow import optimize
from optimizer.ladder import Ladder
from optimizer.load import load_model
from optimizer.placement import guarded, static_order, static_recipe
from optimizer.request import Request
from optimizer.result import Result
from optimizer.saturation import saturating_layers
from optimizer.schemes import SAFE, Int8Static
from optimizer.workbench import Order


def _saturating() -> onnx.ModelProto:
    """Return a comparison of two sums of 32 values: in one they are neighbours of each other, in the other of zeros.

    Where sums saturate the first comes out at half its size, and the second always wins.
    """
    first = np.eye(64, dtype=np.float32)
    second = np.zeros((64, 2), np.float32)
    second[:32, 0] = 1
    second[::2, 1] = 1
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("MatMul", ["b", "w2"], ["y"], "second"),
    ]
    return model_of(nodes, {"w1": first, "w2": second}, {"x": ["N", 64]}, {"y": ["N", 2]})


def _samples(count: int, seed: int) -> NDArray[np.float32]:
    """Return inputs that are mostly large."""
    values = np.random.default_rng(seed).random((count, 64)) ** 0.25
    return values.astype(np.float32)


def _built(folder: Path, target: str) -> Result:
    path = folder / "saturating.onnx"
    onnx.save(_saturating(), path)
    x = _samples(200, 1)
    truth = OrtEngine(path.read_bytes()).run({"x": x})["y"]
    request = Request(
        Dataset({"x": _samples(100, 0)}, None, "c"),
        Dataset({"x": x}, truth.argmax(axis=1), "e"),
        metrics.find("top1"),
        Budget.parse("5pt"),
        target=target,
        effort="quick",
        plan=QUICK,
    )
    return optimize(load_model(path), request)


def _share_right(data: bytes, config: dict[str, str]) -> float:
    """Return in how many samples the largest output is that of float32."""
    x = _samples(200, 1)
    truth = OrtEngine(_saturating().SerializeToString()).run({"x": x})["y"].argmax(axis=1)
    answers = OrtEngine(data, SessionSettings(config=config)).run({"x": x})["y"].argmax(axis=1)
    return float(np.mean(answers == truth))


def _static(result: Result, scheme: Int8Static) -> Any:
    return next(one for one in result.candidates if one.scheme == scheme)


def test_a_form_for_avx2_is_right_there_and_one_for_vnni_is_not(tmp_path: Path) -> None:
    """Where sums saturate the one built for VNNI loses its accuracy without the guard; elsewhere the weights tell."""
    vnni = _static(_built(tmp_path, "x86-64-vnni"), Int8Static())
    avx2 = _static(_built(tmp_path, "x86-64-avx2"), SAFE)
    assert {risk.layer for risk in saturating_layers(vnni.data)} == {"second"}
    assert saturating_layers(avx2.data) == ()
    assert (vnni.settings.config, avx2.settings.config) == ({}, {GUARD: "0"})
    assert vnni.accuracy.loss <= 0.05
    assert avx2.accuracy.loss <= 0.05
    assert _share_right(vnni.data, {GUARD: "1"}) > 0.9
    assert _share_right(avx2.data, {GUARD: "0"}) > 0.9
    if int8_dot_products_saturate():
        assert _share_right(vnni.data, {GUARD: "0"}) < 0.7


def test_a_package_says_that_its_model_may_saturate_elsewhere(tmp_path: Path) -> None:
    """The one for VNNI warns if it is int8, the one for AVX2 has nothing to warn of; both are served right anywhere."""
    for target, scheme in (("x86-64-vnni", Int8Static()), ("x86-64-avx2", SAFE)):
        result = _built(tmp_path, target)
        warned = any("x64quantprecision" in warning for warning in result.warnings)
        assert warned is (result.chosen.scheme == Int8Static())
        assert result.manifest.variants[0].needs == Needs()
        assert scheme in [one.scheme for one in result.candidates]


def test_both_ways_to_serve_are_tried_where_timing_can_tell(tmp_path: Path) -> None:
    """On a processor that saturates the form of full range with the guard is timed as well."""
    tried = [one.scheme for one in _built(tmp_path, "x86-64-avx2").candidates]
    assert SAFE in tried
    if int8_dot_products_saturate():
        assert Int8Static() in tried


def test_the_other_way_has_the_plain_name_and_no_reduced_layers() -> None:
    """Everything else of the recipe stays."""
    data = _saturating().SerializeToString()
    bench = bench_of(data, _samples(20, 0), metrics.find("rmse"), Budget(1.0, relative=False))
    order = static_order(bench.base, ("first",), "-2to2of2", static_recipe(SAFE, "mse", data))
    assert (order.name, order.recipe.reduced) == ("cpu-avx2-safe-2to2of2", ("first", "second"))
    other = guarded(order)
    assert other.name == "cpu-u8s8-2to2of2"
    assert other.precision.startswith(Int8Static().precision)
    assert (other.recipe.scheme, other.recipe.reduced) == (Int8Static(), ())
    assert (other.recipe.method, other.recipe.keep_float) == ("mse", ("first",))


def test_a_form_that_could_saturate_is_not_served_without_the_guard() -> None:
    """A recipe that switches the guard off and leaves sums above 16 bits is refused with the layers."""
    data = _saturating().SerializeToString()
    bench = bench_of(data, _samples(20, 0), metrics.find("rmse"), Budget(1.0, relative=False))
    recipe = static_recipe(SAFE, "auto", data)
    (made,) = bench.built([Order("risky", "", type(recipe)(SAFE, reduced=("first",)))])
    assert made.rejected == "cannot be served without the guard: sums of second may exceed 16 bits"


@pytest.mark.parametrize("scheme", [SAFE, Int8Static()])
def test_the_ladder_has_the_guard_for_reduced_forms_only(scheme: Int8Static) -> None:
    """Weights of full range need the guard in any case."""
    data = _saturating().SerializeToString()
    bench = bench_of(data, _samples(20, 0), metrics.find("rmse"), Budget(1.0, relative=False))
    order = static_order(bench.base, (), "", static_recipe(scheme, "auto", data))
    rungs = dict(Ladder(bench, list)._rungs())
    assert len(rungs["onnxruntime's guard, and weights of full range"](order)) == (scheme == SAFE)
