"""Budgets, and a model's value with its interval."""

from __future__ import annotations

import numpy as np
import pytest
from models import images, residual_convnet
from onnx import numpy_helper

from edge_runtime.errors import BadInput
from edge_runtime.inference.ort import OrtEngine
from optimizer.data import Dataset
from optimizer.evaluate import Budget, Judge
from optimizer.metrics import BUILT_IN


@pytest.mark.parametrize(
    ("text", "metric", "reference", "value", "met"),
    [
        ("1pt", "top1", 0.90, 0.89, True),
        ("1pt", "top1", 0.90, 0.8899, False),
        ("1%", "top1", 0.90, 0.891, True),
        ("1%", "top1", 0.90, 0.8909, False),
        ("0pt", "top1", 0.90, 0.90, True),
        ("3%", "rmse", 15.715, 16.18, True),
        ("3%", "rmse", 15.715, 16.19, False),
        ("0.5pt", "rmse", 15.0, 15.5, True),
        ("0.5pt", "rmse", 15.0, 15.51, False),
        ("1pt", "rmse", 15.0, 3.0, True),
        ("99%", "top1", 0.90, float("nan"), False),
    ],
)
def test_budget(text: str, metric: str, reference: float, value: float, met: bool) -> None:
    """Points and percent are counted in the metric's own direction; a NaN never meets a budget."""
    chosen = BUILT_IN[metric]
    loss = reference - value if chosen.higher_is_better else value - reference
    assert Budget.parse(text).is_met(chosen, loss, reference) is met


@pytest.mark.parametrize("text", ["1", "1 percent", "-1pt", "pt", "", "1e3pt", "nan%"])
def test_budget_without_a_known_unit(text: str) -> None:
    """A bare number would be ambiguous by a factor of a hundred."""
    with pytest.raises(BadInput) as caught:
        Budget.parse(text)
    assert caught.value.code == "E-BUDGET-FORMAT"


def _dataset(labels: np.ndarray | None) -> Dataset:  # type: ignore[type-arg]
    return Dataset({"x": images(50)}, labels, "test.npz")


def test_interval_is_the_same_every_time_and_holds_the_value() -> None:
    """The bootstrap is seeded; its interval is proper and shrinks to a point where all samples agree."""
    engine = OrtEngine(residual_convnet().SerializeToString())
    answers = engine.run({"x": images(50)})["y"].argmax(axis=1)
    labels = np.where(np.arange(50) % 5 == 0, (answers + 1) % 4, answers)
    found = [Judge.of(engine, BUILT_IN["top1"], _dataset(labels), None).evaluate(engine, batch=8) for _ in range(2)]
    assert found[0] == found[1]
    assert found[0].value == pytest.approx(0.8)
    assert 0.6 < found[0].low < 0.8 < found[0].high < 0.95
    sure = Judge.of(engine, BUILT_IN["top1"], _dataset(answers), None).evaluate(engine, batch=8)
    assert (sure.low, sure.value, sure.high) == (1.0, 1.0, 1.0)


def test_loss_is_paired() -> None:
    """Against itself a model loses exactly nothing on every resample, however wide the interval of its value."""
    engine = OrtEngine(residual_convnet().SerializeToString())
    answers = engine.run({"x": images(50)})["y"].argmax(axis=1)
    labels = np.where(np.arange(50) % 3 == 0, (answers + 1) % 4, answers)
    found = Judge.of(engine, BUILT_IN["top1"], _dataset(labels), None).evaluate(engine, batch=8)
    assert (found.loss_low, found.loss, found.loss_high) == (0.0, 0.0, 0.0)
    assert found.high - found.low > 0.1


@pytest.mark.parametrize(("metric", "sign"), [("top1", 1), ("rmse", -1)])
def test_loss_is_positive_where_the_candidate_is_worse(metric: str, sign: int) -> None:
    """Whatever the metric's direction, a positive loss is what was lost."""
    good = OrtEngine(residual_convnet().SerializeToString())
    outputs = good.run({"x": images(50)})["y"]
    labels = outputs.argmax(axis=1) if metric == "top1" else outputs
    other = residual_convnet()
    classifier = other.graph.initializer[3]
    classifier.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(classifier), classifier.name))
    found = Judge.of(good, BUILT_IN[metric], _dataset(labels), None).evaluate(OrtEngine(other.SerializeToString()), 8)
    assert found.loss > 0
    assert found.loss_low <= found.loss <= found.loss_high
    assert sign * (found.reference - found.value) == pytest.approx(found.loss)


def test_labels_missing_for_a_metric_that_needs_them() -> None:
    """The metric that needs none is named."""
    engine = OrtEngine(residual_convnet().SerializeToString())
    with pytest.raises(BadInput, match="needs labels") as caught:
        Judge.of(engine, BUILT_IN["top1"], _dataset(None), None)
    assert caught.value.code == "E-METRIC-NEEDS-LABELS"
    assert "agreement" in caught.value.fix


def test_evaluation_set_of_one_class_has_no_auc() -> None:
    """A metric without a value on float32 stops the work before candidates are built."""
    engine = OrtEngine(residual_convnet().SerializeToString())
    with pytest.raises(BadInput) as caught:
        Judge.of(engine, BUILT_IN["auc"], _dataset(np.ones(50)), None)
    assert caught.value.code == "E-METRIC-ONE-CLASS"
