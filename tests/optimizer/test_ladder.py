"""Each step of the repair ladder has a model where it is the one that brings int8 inside the budget."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from benches import base_of, bench_of, full_order
from models import model_of
from numpy.typing import NDArray
from onnx import helper, numpy_helper

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
    """All hidden values share a large part, other for each sample, that the second layer takes out again.

    Eight bits are spent on it. The weights are whole steps of their scale (the last row of each is 127 of them, and
    nothing reaches it), so that rounding them loses nothing.
    """
    random = np.random.default_rng(3)
    first = np.vstack([random.integers(-3, 4, (16, 32)) + random.choice([-40, 40], (16, 1)), np.full((1, 32), 127)])
    second = random.integers(-60, 61, (32, 4))
    second[-1] -= second.sum(axis=0)
    second = np.clip(np.vstack([second, np.full((1, 4), 127)]), -127, 127)
    weights = {
        "w1": (np.hstack([first, np.zeros((17, 1))]) / 127).astype(np.float32),
        "w2": (second / 127).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], "first"),
        helper.make_node("MatMul", ["a", "w2"], ["y"], "second"),
    ]
    return model_of(nodes, weights, {"x": ["N", 17]}, {"y": ["N", 4]})


def _cancelling_at_the_end() -> onnx.ModelProto:
    """Return the same behind one more layer, so that the network has ends and a middle."""
    model = _cancelling()
    mixing = np.eye(17, dtype=np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["m"], "zeroth"),
        helper.make_node("MatMul", ["m", "w1"], ["a"], "first"),
        helper.make_node("MatMul", ["a", "w2"], ["y"], "second"),
    ]
    weights = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    return model_of(nodes, {"w0": mixing, **weights}, {"x": ["N", 17]}, {"y": ["N", 4]})


def _with_a_dead_input(x: NDArray[Any]) -> NDArray[Any]:
    return np.hstack([x, np.zeros((len(x), 1), np.float32)])


def _climbed(model: onnx.ModelProto, seen: NDArray[Any], share: float, method: str) -> Climbed:
    """Climb with a budget that is a share of the loss of the fully quantized form, judged on samples of its own."""
    data, x = model.SerializeToString(), _random(5, 200, 16)
    x = _with_a_dead_input(x) if seen.shape[1] == 17 else x
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


def test_an_end_in_float_makes_the_difference() -> None:
    """The last layer takes a large common part out again: in float32 it meets the budget, and nothing else has to."""
    climbed = _climbed(_cancelling_at_the_end(), _with_a_dead_input(_random(0, 300, 16)), 0.8, "auto")
    assert climbed.form.rejected is None
    assert _kept(climbed) == ["last or first layer in float32"]
    assert "second" in climbed.order.recipe.keep_float


def test_sixteen_bits_make_the_difference() -> None:
    """Where nothing before helps enough, 16-bit activations meet the budget; what they changed is told."""
    climbed = _climbed(_cancelling(), _with_a_dead_input(_random(0, 300, 16)), 0.7, "auto")
    assert climbed.form.rejected is None
    assert climbed.steps[-1].name == "16-bit activations for the costliest layers"
    assert climbed.steps[-1].kept
    assert climbed.steps[-1].after < 0.7 * climbed.steps[-1].before
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
