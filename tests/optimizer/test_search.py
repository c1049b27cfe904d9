"""Which layers stay float: for speed, and where the budget demands it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
import pytest
from models import images, model_of, residual_convnet
from onnx import helper

from edge_runtime.inference.ort import OrtEngine, SessionSettings
from optimizer.calibrate.observe import observe
from optimizer.calibrate.ranges import ranges_of
from optimizer.candidates import Candidate
from optimizer.data import Dataset
from optimizer.evaluate import Budget, Judge
from optimizer.load import count_operators
from optimizer.metrics import BUILT_IN
from optimizer.placement import Placement, PlacementSearch, cut_positions, layers_of
from optimizer.quantize import tensors_to_observe
from optimizer.repair import fewest_float_layers
from optimizer.search import StaticSearch
from optimizer.sensitivity import layer_losses

SILENT = lambda *_: None  # noqa: E731


def _ranges(data: bytes, x: np.ndarray) -> dict[str, tuple[float, float]]:  # type: ignore[type-arg]
    return ranges_of(observe(data, tensors_to_observe(data), Dataset({"x": x}, None, "x"), SILENT), "minmax")


def _search(data: bytes) -> PlacementSearch:
    original = Candidate("fp32", "as given", data, SessionSettings())
    return PlacementSearch(original, data, _ranges(data, images(20)), {"x": images(1)})


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


def test_a_float_head_and_tail_leave_one_int8_region() -> None:
    """Only the layers between the cuts are integer operators once onnxruntime has fused the graph."""
    form = _search(residual_convnet().SerializeToString()).form(Placement(head=1, tail=1))
    assert form.name == "cpu-u8s8-2to2of3"
    assert "kept in float32: 3" in form.precision
    nodes = onnx.load_model_from_string(form.data).graph.node
    weights = {node.name: node.input[1] for node in nodes if len(node.input) > 1}
    quantized = [name for name in ("conv1", "conv2", "classifier") if weights[name].endswith("DequantizeLinear_Output")]
    assert quantized == ["conv2"]


def test_ranked_forms_begin_with_the_fastest_and_end_with_the_full_one() -> None:
    """Everything slower than the fully quantized form is left out."""
    ranked = _search(residual_convnet().SerializeToString()).ranked(10, SILENT)
    speeds = [form.speedup.value for form in ranked if form.speedup]
    assert len(speeds) == len(ranked)
    assert speeds == sorted(speeds, reverse=True)
    assert ranked[-1].name == "cpu-u8s8"


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
    data = _one_bad_layer().SerializeToString()
    x = np.random.default_rng(0).normal(0, 1, (64, 16)).astype(np.float32)
    losses = layer_losses(data, _ranges(data, x), {"x": x}, SILENT)
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


def test_a_missed_budget_is_repaired_by_the_layer_that_caused_it() -> None:
    """The fully quantized form loses too much; the same with one layer in float meets the budget."""
    data = _one_bad_layer().SerializeToString()
    x = np.random.default_rng(0).normal(0, 1, (200, 16)).astype(np.float32)
    engine = OrtEngine(data)
    evaluation = Dataset({"x": x}, engine.run({"x": x})["y"], "own outputs")
    by = Judge.of(engine, replace(BUILT_IN["rmse"], point=0.08), evaluation, None)
    original = Candidate("fp32", "as given", data, SessionSettings())
    search = StaticSearch(original, data, _ranges(data, x), {"x": x[:1]}, by, Budget(1.0, relative=False))
    forms = {form.name: form for form in search.run("default", SILENT)}
    assert forms["cpu-u8s8"].rejected is not None
    met = [form for form in forms.values() if form.rejected is None]
    assert met
    kept = onnx.load_model_from_string(met[-1].data)
    assert count_operators(kept.graph)["MatMul"] == 3
    second = next(node for node in kept.graph.node if node.name == "second")
    assert not second.input[1].endswith("DequantizeLinear_Output")


def test_quick_effort_tries_the_full_form_only() -> None:
    """No placement is searched, no layer is given back."""
    data = residual_convnet().SerializeToString()
    x = images(20)
    by = Judge.of(OrtEngine(data), BUILT_IN["agreement"], Dataset({"x": x}, None, "x"), None)
    original = Candidate("fp32", "as given", data, SessionSettings())
    search = StaticSearch(original, data, _ranges(data, x), {"x": x[:1]}, by, Budget(100.0, relative=False))
    assert [form.name for form in search.run("quick", SILENT)] == ["cpu-u8s8"]
