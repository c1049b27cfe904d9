"""Metrics against independent references, and what happens where they have no value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as reference

from edge_runtime.errors import BadInput
from optimizer import metrics


@pytest.mark.parametrize("seed", range(5))
def test_auc_equals_scikit_learn_with_ties(seed: int) -> None:
    """The rank formula counts ties half, as the trapezoidal ROC curve does."""
    random = np.random.default_rng(seed)
    labels, scores = random.integers(0, 2, 200), random.integers(0, 9, (200, 1)) / 8
    assert metrics.auc(scores, labels) == pytest.approx(reference.roc_auc_score(labels, scores.ravel()))


@pytest.mark.parametrize("columns", [1, 2])
def test_f1_equals_scikit_learn(columns: int) -> None:
    """One column is a probability of class 1, two are scores of both classes."""
    random = np.random.default_rng(0)
    scores, labels = random.random((300, columns)), random.integers(0, 2, 300)
    predicted = scores.argmax(axis=1) if columns == 2 else scores.ravel() > 0.5
    assert metrics.f1(scores, labels) == pytest.approx(reference.f1_score(labels, predicted))


def test_top1_and_top5_equal_scikit_learn() -> None:
    """Shares of samples with the label first, and among the first five."""
    random = np.random.default_rng(0)
    scores, labels = random.random((300, 12)), random.integers(0, 12, 300)
    expected = [reference.top_k_accuracy_score(labels, scores, k=k, labels=range(12)) for k in (1, 5)]
    assert [metrics.top1(scores, labels), metrics.top5(scores, labels)] == pytest.approx(expected)


def test_top5_with_three_classes_is_always_right() -> None:
    """Fewer classes than five is no error."""
    assert metrics.top5(np.eye(3), np.array([0, 2, 1])) == 1.0


def test_errors_are_in_the_outputs_unit() -> None:
    """Both errors of outputs [N,1] against labels [N]."""
    outputs, labels = np.array([[1.0], [2.0], [6.0]]), np.array([1, 2, 3])
    assert metrics.rmse(outputs, labels) == pytest.approx(np.sqrt(3))
    assert metrics.mae(outputs, labels) == pytest.approx(1.0)


def test_agreement_of_classes_and_of_values() -> None:
    """Scores agree by their largest; other outputs element by element within 1 % of the float32 range."""
    float32 = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    assert metrics.agreement(float32[:, ::-1], float32) == 0.0
    assert metrics.agreement(float32 + 0.3, float32) == 1.0
    values = np.array([[0.0], [100.0], [50.0]])
    assert metrics.agreement(values + np.array([[0.5], [0.5], [2.0]]), values) == pytest.approx(2 / 3)


def test_auc_and_f1_without_a_class_have_no_value() -> None:
    """One class only gives NaN, which no budget accepts, rather than a made-up number."""
    assert np.isnan(metrics.auc(np.ones((3, 1)), np.ones(3)))
    assert np.isnan(metrics.f1(np.zeros((3, 1)), np.zeros(3)))


def test_rmse_of_other_sizes_is_an_error() -> None:
    """Labels that do not match the output are not broadcast."""
    with pytest.raises(BadInput) as caught:
        metrics.rmse(np.ones((4, 3)), np.ones(4))
    assert caught.value.code == "E-METRIC-SHAPE"


def test_unknown_metric_lists_the_known() -> None:
    """A typo shows what there is."""
    with pytest.raises(BadInput, match="top_1") as caught:
        metrics.find("top_1")
    assert "top1" in caught.value.fix


@pytest.mark.parametrize(
    ("body", "problem"),
    [("return 'high'", "returned str"), ("raise KeyError('k')", "KeyError"), ("return None", "returned NoneType")],
)
def test_broken_user_metrics_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, problem: str
) -> None:
    """A user's metric that raises or returns no number is told as his, with the place."""
    module = f"my_metric_{abs(hash(body))}"
    (tmp_path / f"{module}.py").write_text(f"def score(outputs, labels):\n    {body}\n")
    monkeypatch.chdir(tmp_path)
    metric = metrics.find(f"{module}:score")
    with pytest.raises(BadInput, match=problem) as caught:
        metric.compute(np.ones((2, 2)), np.ones(2))
    assert caught.value.code == "E-USER-FUNCTION"


def test_score_output_skips_labels() -> None:
    """Tree exports put an integer label first; the metric looks at the first float output, or the one named."""
    outputs = {"label": np.array([1]), "probabilities": np.array([[0.2, 0.8]]), "more": np.array([[1.0]])}
    assert metrics.score_output(outputs) is outputs["probabilities"]
    assert metrics.score_output(outputs, "more") is outputs["more"]
    with pytest.raises(BadInput) as caught:
        metrics.score_output(outputs, "none")
    assert caught.value.code == "E-METRIC-OUTPUT"
