"""Rewrites for speed: what is kept, what is rolled back, and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from zoo import ZOO, feeds_for, mlp, transformer_encoder

from benchmarks.latency import Interval, Plan
from edge_runtime.errors import BadInput
from edge_runtime.inference.ort import OrtEngine
from optimizer.simplify import simplify, speed_up
from optimizer.simplify.fresh_sessions import FreshSessions
from optimizer.simplify.speed import SMALLEST_SPEEDUP, SPEED_REWRITES, pays

PLAN = Plan(rounds=6, slot_seconds=0.002, warmup_seconds=0.002)
TIMER = FreshSessions(
    {name: array[:1] for name, array in feeds_for(mlp()).items()}, SMALLEST_SPEEDUP, plan=PLAN
).speedup


def _smaller_weight(data: bytes) -> bytes:
    model = onnx.load_model_from_string(data)
    weight = numpy_helper.to_array(model.graph.initializer[-2]) * np.float32(0.99)
    model.graph.initializer[-2].CopyFrom(numpy_helper.from_array(weight, model.graph.initializer[-2].name))
    return model.SerializeToString()


def _batch_of_one(data: bytes) -> bytes:
    """Freeze the batch, as rewrites do that look at one sample only."""
    model = onnx.load_model_from_string(data)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    return model.SerializeToString()


def _slower(data: bytes) -> bytes:
    """Compute the same after sorting the input's copies 300 times."""
    model = onnx.load_model_from_string(data)
    first = model.graph.input[0].name
    added = []
    for index in range(300):
        source = first if index == 0 else f"slow{index - 1}"
        added += [
            onnx.helper.make_node("Neg", [source], [f"n{index}"]),
            onnx.helper.make_node("Neg", [f"n{index}"], [f"slow{index}"]),
        ]
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == first:
                node.input[place] = "slow299"
    nodes = [*added, *(onnx.NodeProto.FromString(node.SerializeToString()) for node in model.graph.node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model.SerializeToString()


@pytest.mark.parametrize("planted", [_smaller_weight, _batch_of_one])
def test_a_wrong_rewrite_is_rolled_back_and_said(planted: object) -> None:
    """Other numbers, or a batch that is no longer open: the model goes on as it was, with the reason."""
    data = mlp().SerializeToString()
    result = speed_up(data, feeds_for(mlp()), TIMER, rewrites=[("planted", planted)])  # type: ignore[list-item]
    assert result.data == data
    assert [(step.kept, step.speedup) for step in result.steps] == [(False, None)]
    assert result.steps[0].note
    assert not simplify(data, feeds_for(mlp()), [("planted", planted)]).steps[0].kept  # type: ignore[list-item]


def test_a_slower_rewrite_is_rolled_back_and_said() -> None:
    """600 more nodes compute the same: correct, timed, and not kept."""
    data = mlp().SerializeToString()
    result = speed_up(data, feeds_for(mlp()), TIMER, rewrites=[("planted", _slower)])
    assert result.data == data
    step = result.steps[0]
    assert not step.kept
    assert step.note.endswith("not faster")
    assert step.speedup is not None
    assert step.speedup.value < 1


def test_what_takes_work_away_is_kept() -> None:
    """Taking the 600 nodes out again is kept, with its measured speed-up; what finds nothing is left out."""
    fast = mlp().SerializeToString()
    result = speed_up(_slower(fast), feeds_for(mlp()), TIMER, rewrites=[("nothing", bytes), ("less", lambda _: fast)])
    assert result.data == fast
    assert [(step.name, step.kept) for step in result.steps] == [("less", True)]
    assert result.before["Neg"] == 600
    assert "Neg" not in result.after


@pytest.mark.parametrize(
    ("value", "low", "kept"), [(1.2, 1.1, True), (1.02, 0.99, True), (1.2, 0.9, False), (1.0, 0.99, False)]
)
def test_the_rule(value: float, low: float, kept: bool) -> None:
    """The median must be above 1.01 and the low end above 0.98."""
    assert pays(Interval(value, low, 2.0)) is kept


def test_a_model_that_refuses_its_samples_is_bad_input() -> None:
    """Nothing can be checked then."""
    with pytest.raises(BadInput):
        speed_up(mlp().SerializeToString(), {"x": np.zeros((1, 5), np.float32)}, TIMER)


@pytest.mark.parametrize("name", ZOO)
def test_every_rewrite_leaves_every_stand_in_right(name: str) -> None:
    """All in a row, kept regardless of time: each still loads and computes what the model computed."""
    model = ZOO[name]()
    feeds = feeds_for(model, 3)
    result = simplify(model.SerializeToString(), feeds, SPEED_REWRITES)
    assert [step.note for step in result.steps if not step.kept] == []
    after = simplify(simplify(model.SerializeToString(), feeds).data, feeds, SPEED_REWRITES)
    assert [step.note for step in after.steps if not step.kept] == []


@pytest.mark.parametrize(
    "name", ["kws_dscnn", "cifar10_resnet8", "turbofan_rul", "sound_autoencoder", "machine_temperature"]
)
def test_every_rewrite_leaves_every_real_model_right(name: str, assets: Path) -> None:
    """The same on models from elsewhere."""
    data = (assets / name / "model.onnx").read_bytes()
    feeds = feeds_for(onnx.load_model_from_string(data), 4)
    result = simplify(simplify(data, feeds).data, feeds, SPEED_REWRITES)
    assert [step.note for step in result.steps if not step.kept] == []


def test_a_fixed_batch_is_checked_batch_by_batch() -> None:
    """Samples beyond the batch that a model fixes are cut into batches of its size."""
    model = onnx.load_model_from_string(_batch_of_one(transformer_encoder().SerializeToString()))
    many = {"ids": np.arange(96).reshape(3, 32)}
    assert simplify(model.SerializeToString(), many).steps[-1].kept
    assert OrtEngine(model.SerializeToString()).run({"ids": many["ids"][:1]})
