"""Each step of the repair ladder has a model where it is the one that brings int8 inside the budget."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from benches import base_of, bench_of, full_order
from models import model_of
from numpy.typing import NDArray
from onnx import helper

from optimizer.correct import CORRECTIONS, in_order
from optimizer.evaluate import Budget
from optimizer.ladder import Climbed, Ladder
from optimizer.metrics import BUILT_IN


def _dense(first: NDArray[Any], second: NDArray[Any], between: str = "Relu") -> onnx.ModelProto:
    """Return x @ first, something, @ second."""
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], "first"),
        helper.make_node(between, ["a"], ["b"], "between"),
        helper.make_node("MatMul", ["b", "w2"], ["y"], "second"),
    ]
    inside, outside = first.shape[0], second.shape[1]
    return model_of(nodes, {"w1": first, "w2": second}, {"x": ["N", inside]}, {"y": ["N", outside]})


def _random(seed: int, *shape: int) -> NDArray[Any]:
    return np.random.default_rng(seed).normal(0, 0.3, shape).astype(np.float32)


def _cancelling() -> onnx.ModelProto:
    """Everything sits on a large common value that the second layer takes out again: 8 bits are spent on it."""
    second = _random(2, 32, 4)
    second -= second.mean(axis=0)
    weights = {"w1": _random(1, 16, 32), "common": np.full(32, 40, np.float32), "w2": second}
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], "first"),
        helper.make_node("Add", ["a", "common"], ["b"], "shift"),
        helper.make_node("MatMul", ["b", "w2"], ["y"], "second"),
    ]
    return model_of(nodes, weights, {"x": ["N", 16]}, {"y": ["N", 4]})


def _climbed(model: onnx.ModelProto, seen: NDArray[Any], share: float, method: str) -> Climbed:
    """Climb with a budget that is a share of the loss of the fully quantized form, judged on samples of its own."""
    data, x = model.SerializeToString(), _random(5, 200, 16)
    strict = replace(BUILT_IN["mae"], point=1e-6)
    bench = bench_of(data, x, strict, Budget(1.0, relative=False), base=base_of(data, seen))
    order = full_order(bench)
    order = replace(order, recipe=replace(order.recipe, method=method))
    loss = bench.judged([order])[0].loss
    bench = bench_of(data, x, strict, Budget(loss * share / strict.point, relative=False), base=bench.base)
    (form,) = bench.judged([order])
    assert form.rejected is not None
    return Ladder(bench, lambda: ["second", "first"]).climb(order, form)


def _kept(climbed: Climbed) -> list[str]:
    return [step.name for step in climbed.steps if step.kept]


def _with_an_outlier() -> NDArray[Any]:
    seen = _random(0, 40_000, 16)
    seen[7, 3] = 60.0  # two hundred times as large as anything else
    return seen


def test_another_way_to_read_the_ranges_makes_the_difference() -> None:
    """One outlier in calibration decides the range by min and max; another method is enough to meet the budget."""
    climbed = _climbed(_dense(_random(1, 16, 32), _random(2, 32, 4)), _with_an_outlier(), 0.3, "minmax")
    assert climbed.form.rejected is None
    assert _kept(climbed) == ["another way to read the ranges"]
    assert climbed.order.recipe.method != "minmax"


def test_sixteen_bits_make_the_difference() -> None:
    """Where nothing before helps enough, 16-bit activations meet the budget; what they changed is told."""
    climbed = _climbed(_cancelling(), _random(0, 300, 16), 0.1, "auto")
    assert climbed.form.rejected is None
    assert climbed.steps[-1].name == "16-bit activations for the costliest layers"
    assert climbed.steps[-1].kept
    assert climbed.steps[-1].after < 0.2 * climbed.steps[-1].before
    assert climbed.order.recipe.wide


def test_every_step_is_told_whether_it_helped_or_not() -> None:
    """Every step has its loss before and after; one that is kept does not lose more, one that is not says so."""
    climbed = _climbed(_dense(_random(1, 16, 32), _random(2, 32, 4)), _with_an_outlier(), 0.0001, "minmax")
    assert climbed.form.rejected is not None
    assert climbed.steps[0].name == "another way to read the ranges"
    assert all(step.after <= step.before for step in climbed.steps if step.kept)
    assert all(step.note == "no gain" for step in climbed.steps if not step.kept)


def test_corrections_are_applied_in_their_own_order() -> None:
    """However they were found, numbers are shaped first and shifts taken out last; every correction has a place."""
    assert in_order(["bias-correction", "equalize", "rounding", "equalize"]) == (
        "equalize",
        "rounding",
        "bias-correction",
    )
    assert set(in_order(CORRECTIONS)) == set(CORRECTIONS)
