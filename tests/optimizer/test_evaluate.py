"""Budgets, and a model's value with its interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from models import images, residual_convnet
from onnx import numpy_helper

from edge_runtime.errors import BadInput
from edge_runtime.inference.ort import OrtEngine, SessionSettings
from edge_runtime.package.manifest import Accuracy
from optimizer.budget import nearest_budget
from optimizer.candidates import Candidate, judge
from optimizer.data import Dataset
from optimizer.evaluate import Budget, Judge
from optimizer.metrics import BUILT_IN, find
from optimizer.recipe import Recipe
from optimizer.schemes import Int8Static


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


def _users(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: str) -> str:
    (folder / f"{name}.py").write_text(f"import numpy as np\nSEEN = []\ndef score(outputs, labels):\n    {body}\n")
    monkeypatch.chdir(folder)
    return f"{name}:score"


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("um_nan", "return float('nan')", "E-METRIC-NAN"),
        ("um_inf", "return np.inf", "E-METRIC-NAN"),
        ("um_raises", "raise KeyError('k')", "E-USER-FUNCTION"),
        ("um_text", "return 'high'", "E-USER-FUNCTION"),
        ("um_array", "return np.ones(3)", "E-USER-FUNCTION"),
        ("um_unstable", "SEEN.append(1); return len(SEEN)", "E-METRIC-UNSTABLE"),
        ("um_outputs", "outputs[0] = 0; return 1.0", "E-METRIC-MUTATES"),
        ("um_labels", "labels.sort(); return 1.0", "E-METRIC-MUTATES"),
    ],
)
def test_users_metrics_that_cannot_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: str, code: str
) -> None:
    """A metric without a value, that fails, changes from call to call or writes into the data has its own error."""
    metric = find(_users(tmp_path, monkeypatch, name, body))
    with pytest.raises(BadInput) as caught:
        Judge.of(OrtEngine(residual_convnet().SerializeToString()), metric, _dataset(np.arange(50) % 4), None)
    assert caught.value.code == code
    assert caught.value.fix


def test_a_users_metric_sees_every_output_where_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --score-output '*' it gets all outputs by name; a numpy scalar is a number; its resamples are taken."""
    metric = find(
        _users(tmp_path, monkeypatch, "um_all", "return np.float32((outputs['y'].argmax(1) == labels).mean())")
    )
    engine = OrtEngine(residual_convnet().SerializeToString())
    labels = engine.run({"x": images(50)})["y"].argmax(axis=1)
    found = Judge.of(engine, metric, _dataset(labels), "*").evaluate(engine, 8)
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


def test_a_candidate_without_a_value_is_left_out_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NaN on float32 stops the work, NaN on a candidate only rejects it."""
    metric = find(_users(tmp_path, monkeypatch, "um_candidate", "return 1.0 if outputs[0, 0] != 0 else float('nan')"))
    by = Judge.of(OrtEngine(residual_convnet().SerializeToString()), metric, _dataset(np.arange(50)), None)
    broken = residual_convnet()
    classifier = broken.graph.initializer[3]
    classifier.CopyFrom(numpy_helper.from_array(0 * numpy_helper.to_array(classifier), classifier.name))
    candidate = Candidate("int8", "int8", broken.SerializeToString(), SessionSettings(), Recipe(Int8Static()))
    rejected = judge(candidate, by, Budget.parse("1pt")).rejected
    assert rejected is not None
    assert "E-METRIC-NAN" in rejected


def test_one_class_is_a_doubt_for_top1() -> None:
    """top1 has a value on one class, and what it cannot show is said."""
    engine = OrtEngine(residual_convnet().SerializeToString())
    (doubt,) = Judge.of(engine, BUILT_IN["top1"], _dataset(np.ones(50)), None).doubts()
    assert "of class 1" in doubt
    assert Judge.of(engine, BUILT_IN["top1"], _dataset(np.arange(50) % 2), None).doubts() == ()


@pytest.mark.parametrize("seed", range(200))
def test_nearest_budget_is_met_and_hardly_less_would_be(seed: int) -> None:
    """Whatever metric, unit and size of the loss: the option told lets the result in, and a fifth less does not."""
    random = np.random.default_rng(seed)
    metric = BUILT_IN[str(random.choice(["top1", "rmse"]))]
    reference = float(10 ** random.uniform(-3, 4)) if metric.name == "rmse" else float(random.uniform(0.01, 1))
    loss = reference * float(10 ** random.uniform(-3, 0))
    accuracy = Accuracy(metric.name, 0, 0, 0, reference, loss, loss, 2 * loss, 10, 0.95)
    for relative in (False, True):
        for certain, asked in ((False, loss), (True, 2 * loss)):
            text = nearest_budget(metric, accuracy, relative, certain=certain)
            budget = Budget.parse(text)
            assert text.endswith("%" if relative else "pt")
            assert budget.is_met(metric, asked, reference)
            assert not Budget(budget.amount * 0.8, relative).is_met(metric, asked, reference)


@pytest.mark.parametrize(
    ("loss", "relative", "text"),
    [
        (0.0136, False, "1.4pt"),
        (0.019, True, "2.2%"),
        (0.0, False, "0pt"),
        (0.01, False, "1pt"),
        (0.00012, False, "0.012pt"),
    ],
)
def test_nearest_budget_in_the_users_unit(loss: float, relative: bool, text: str) -> None:
    """Tenths from 1 on, two digits below, always rounded up."""
    accuracy = Accuracy("top1", 0.9 - loss, 0, 1, 0.9, loss, loss, loss, 100, 0.95)
    assert nearest_budget(BUILT_IN["top1"], accuracy, relative) == text
