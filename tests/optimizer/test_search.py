"""Which layers stay float: for speed, and where the budget demands it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
import pytest
from benches import base_of, bench_of, full_order, original_of, stopwatch_for
from models import images, model_of, residual_convnet
from onnx import helper

from edge_runtime.inference.ort import SessionSettings
from optimizer.candidates import Candidate
from optimizer.evaluate import Budget
from optimizer.executor import Workers
from optimizer.ladder import Ladder
from optimizer.metrics import BUILT_IN
from optimizer.placement import (
    Layers,
    Placement,
    PlacementSearch,
    cut_positions,
    layers_of,
    predicted_totals,
)
from optimizer.repair import fewest_float_layers
from optimizer.search import StaticSearch
from optimizer.sensitivity import layer_losses
from optimizer.workbench import Workbench

X = images(20)
ALL = Budget(100.0, relative=False)
SILENT = lambda *_: None  # noqa: E731


def _placements(data: bytes) -> PlacementSearch:
    bench = bench_of(data, X, BUILT_IN["agreement"], ALL)
    return PlacementSearch(bench, stopwatch_for(X), original_of(data), {})


def _search(bench: Workbench, costs: dict[str, tuple[float, float]]) -> StaticSearch:
    original = original_of(bench.base.data)
    x = bench.terms.sample["x"]
    return StaticSearch(bench, PlacementSearch(bench, stopwatch_for(x), original, costs), costs, SILENT)


def test_layers_are_found_in_the_order_they_run() -> None:
    """Each weighted layer knows every node before it, so that a cut leaves one contiguous int8 region."""
    layers = layers_of(residual_convnet().SerializeToString())
    assert layers.names == ("conv1", "conv2", "classifier")
    assert layers.before == ((), ("conv1", "relu1"), ("conv1", "relu1", "conv2", "add", "relu2", "pool", "flatten"))


@pytest.mark.parametrize(
    ("count", "most", "expected"),
    [(1, 10, []), (4, 10, [1, 2, 3]), (11, 10, list(range(1, 11))), (50, 10, [1, 2, 3, 4, 5, 13, 21, 29, 37, 45])],
)
def test_cut_positions_are_dense_in_front_and_bounded(count: int, most: int, expected: list[int]) -> None:
    """Short networks are scanned whole, long ones by the first few layers and an even spread."""
    assert cut_positions(count, most) == expected


def test_predicted_costs_choose_the_positions() -> None:
    """With a model of costs the cheapest cuts are tried besides the first few, wherever they are."""
    predicted = [float(abs(head - 40)) for head in range(50)]
    assert cut_positions(50, 10, predicted) == [1, 2, 3, 4, 37, 38, 39, 40, 41, 42]


def test_predicted_totals_add_the_float_head_and_the_int8_rest() -> None:
    """One total per length of the head; none where a layer's cost is unknown."""
    layers = Layers(("a", "b"), ((), ("a",)))
    assert predicted_totals(layers, {"a": (1.0, 5.0), "b": (7.0, 2.0)}) == [7.0, 3.0]
    assert predicted_totals(layers, {"a": (1.0, 5.0)}) == []


def test_a_float_head_and_tail_leave_one_int8_region() -> None:
    """Only the layers between the cuts are integer operators once onnxruntime has fused the graph."""
    data = residual_convnet().SerializeToString()
    bench = bench_of(data, X, BUILT_IN["agreement"], ALL)
    (form,) = bench.built([_placements(data).order(Placement(head=1, tail=1))])
    assert form.name == "cpu-u8s8-2to2of3"
    assert "kept in float32: 3" in form.precision
    nodes = onnx.load_model_from_string(form.data).graph.node
    weights = {node.name: node.input[1] for node in nodes if len(node.input) > 1}
    quantized = [name for name in ("conv1", "conv2", "classifier") if weights[name].endswith("DequantizeLinear_Output")]
    assert quantized == ["conv2"]


def test_ranked_forms_begin_with_the_fastest_and_end_with_the_full_one() -> None:
    """Everything slower than the fully quantized form is left out."""
    ranked = _placements(residual_convnet().SerializeToString()).ranked(10, SILENT)
    speeds = [form.speed for _, form in ranked]
    assert min(speeds) > 0
    assert speeds == sorted(speeds, reverse=True)
    assert ranked[-1][1].name == "cpu-u8s8"
    assert all(order.name == form.name for order, form in ranked)


def _one_bad_layer() -> onnx.ModelProto:
    """Return three dense layers; the second multiplies channels of ranges 1e4 apart, which eight bits cannot hold."""
    random = np.random.default_rng(3)
    spread = np.logspace(-2, 2, 32).astype(np.float32)
    weights = {
        "w1": (random.normal(0, 0.3, (16, 32)) * spread).astype(np.float32),
        "w2": (random.normal(0, 0.3, (32, 32)) / spread[:, None]).astype(np.float32),
        "w3": random.normal(0, 0.3, (32, 8)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], "first"),
        helper.make_node("MatMul", ["a", "w2"], ["b"], "second"),
        helper.make_node("Tanh", ["b"], ["t"], "tanh"),
        helper.make_node("MatMul", ["t", "w3"], ["y"], "third"),
    ]
    return model_of(nodes, weights, {"x": ["N", 16]}, {"y": ["N", 8]})


def test_the_layer_that_loses_most_is_found() -> None:
    """The layer whose input range drowns its small channels comes first, by a wide margin."""
    x = np.random.default_rng(0).normal(0, 1, (64, 16)).astype(np.float32)
    base = base_of(_one_bad_layer().SerializeToString(), x)
    losses = layer_losses(base, {"x": x}, Workers(), SILENT)
    assert set(losses) == {"first", "second", "third"}
    assert next(iter(losses)) == "second"
    assert losses["second"] > 5 * losses["third"]


@pytest.mark.parametrize("needed", [1, 2, 3, 5, 8, 9])
def test_repair_gives_back_as_few_layers_as_possible(needed: int) -> None:
    """Doubling and halving finds the smallest count that meets the budget, judging few forms."""
    judged = []

    def form(layers: Sequence[str]) -> Candidate:
        judged.append(len(layers))
        rejected = None if len(layers) >= needed else "outside the budget"
        return Candidate(f"{len(layers)}", "", b"", SessionSettings(), rejected=rejected)

    names = [f"layer{index}" for index in range(20)]
    found = fewest_float_layers(names, form)
    if needed > 8:
        assert found is None, "beyond half of the layers float32 is the better answer"
    else:
        assert found is not None
        assert found.name == str(needed)
        assert len(judged) <= 8


def _strict_bench() -> Workbench:
    """Return a workbench whose budget the fully quantized form misses."""
    x = np.random.default_rng(0).normal(0, 1, (200, 16)).astype(np.float32)
    return bench_of(
        _one_bad_layer().SerializeToString(), x, replace(BUILT_IN["rmse"], point=0.08), Budget(1.0, relative=False)
    )


def test_a_missed_budget_is_repaired_by_the_layer_that_caused_it() -> None:
    """The fully quantized form loses too much; giving layers back, the one that caused it goes first."""
    bench = _strict_bench()
    costliest = layer_losses(bench.base, bench.terms.by.data.head(64), Workers(), SILENT)  # type: ignore[union-attr]
    order = full_order(bench)
    assert bench.judged([order])[0].rejected is not None
    given_back = Ladder(bench, lambda: list(costliest)).give_back(order)
    assert given_back is not None
    assert given_back[0].recipe.keep_float == ("second",)
    assert given_back[1].rejected is None
    kept = onnx.load_model_from_string(given_back[1].data)
    second = next(node for node in kept.graph.node if node.name == "second")
    assert not second.input[1].endswith("DequantizeLinear_Output")


def test_the_ladder_ends_inside_the_budget_and_tells_every_step() -> None:
    """What helped and what did not is told in order, and the last form meets the budget."""
    bench = _strict_bench()
    found = _search(bench, {}).run("quick")  # no timing decides here
    assert found.forms[0].name == "cpu-u8s8"
    assert found.forms[0].rejected is not None
    assert any(form.rejected is None for form in found.forms)
    assert found.repairs
    assert found.repairs[-1].kept
    assert all(step.after <= step.before for step in found.repairs if step.kept)


def test_layers_that_gain_nothing_are_given_back_before_those_that_gain_much() -> None:
    """Loss per microsecond decides: a cheap layer that loses a little goes before a costly one that loses more."""
    bench = _strict_bench()
    assert next(iter(_search(bench, {})._costliest())) == "second"
    costs = {"first": (2.0, 1.0), "second": (1e6, 1.0), "third": (1.0, 0.9)}
    assert _search(bench, costs)._costliest()[-1] == "second"


def test_quick_effort_tries_the_full_form_only() -> None:
    """No placement is searched and, inside the budget, nothing repaired."""
    bench = bench_of(residual_convnet().SerializeToString(), X, BUILT_IN["agreement"], ALL)
    assert [form.name for form in _search(bench, {}).run("quick").forms] == ["cpu-u8s8"]
