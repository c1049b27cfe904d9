"""Metrics against independent references, and what happens where they have no value."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from edge_runtime.errors import BadInput
from optimizer import metrics
from optimizer.metrics.resample import counts, picks


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


def _example(name: str) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    random = np.random.default_rng(3)
    scores = random.integers(0, 9, (60, 7)) / 8 + (0 if name == "auc" else random.normal(0, 1e-6, (60, 7)))
    labels = {
        "top1": random.integers(0, 7, 60),
        "top5": random.integers(0, 7, 60),
        "auc": random.integers(0, 2, 60),
        "f1": random.integers(0, 2, 60),
        "spearman": random.integers(0, 6, 30),
    }
    return scores, labels.get(name, scores + random.normal(0, 0.2, (60, 7)))


@pytest.mark.parametrize("name", ["top1", "top5", "auc", "f1", "rmse", "mae", "agreement"])
def test_counts_give_what_picked_samples_give(name: str) -> None:
    """Products with counts equal the metric of each resample, computed anew."""
    metric = metrics.BUILT_IN[name]
    outputs, truth = _example(name)
    assert metric.resampled
    fast = np.concatenate([metric.resampled(outputs, truth)(block) for block in counts(60, 50)])
    slow = [metric.compute(outputs[pick], truth[pick]) for pick in picks(60, 50)]
    np.testing.assert_allclose(fast, slow, rtol=1e-12)


def test_spearman_equals_scipy_on_the_whole_and_on_resamples() -> None:
    """Ranks with ties, also of the copies that a resample makes."""
    outputs, gold = _example("spearman")
    pairs = outputs.reshape(30, 2, 7)
    norms = np.linalg.norm(pairs, axis=2)
    cosines = (pairs[:, 0] * pairs[:, 1]).sum(axis=1) / norms.prod(axis=1)
    assert metrics.spearman(outputs, gold) == pytest.approx(stats.spearmanr(cosines, gold)[0])
    resampled = metrics.BUILT_IN["spearman"].resampled
    assert resampled
    fast = np.concatenate([resampled(outputs, gold)(block) for block in counts(30, 20)])
    slow = [stats.spearmanr(cosines[pick], gold[pick])[0] for pick in picks(30, 20)]
    np.testing.assert_allclose(fast, slow, rtol=1e-9)


def test_pairs_are_consecutive_samples() -> None:
    """The gold stands in both samples of a pair; where it does not, or a sample is alone, that is told."""
    checked = metrics.BUILT_IN["spearman"].checked
    np.testing.assert_array_equal(checked(np.ones((4, 2)), np.array([1.0, 1.0, 0.5, 0.5])), [1.0, 0.5])
    for outputs, labels, code in (
        (np.ones((4, 2)), np.array([1.0, 0.5, 1.0, 0.5]), "E-METRIC-LABELS"),
        (np.ones((3, 2)), np.ones(3), "E-METRIC-SHAPE"),
        (np.ones((4, 2)), np.ones(4), "E-METRIC-LABELS"),
    ):
        with pytest.raises(BadInput) as caught:
            checked(outputs, labels)
        assert caught.value.code == code


def test_embedding_is_the_vector_output_else_the_mean_over_tokens() -> None:
    """Rank 2 comes before rank 3, wherever it stands; a named output comes before both."""
    tokens, vector = np.arange(24.0).reshape(2, 3, 4), np.ones((2, 5))
    reads = metrics.BUILT_IN["spearman"].reads
    assert reads({"t": tokens, "v": vector}, None)({"t": tokens, "v": vector}) is not None
    np.testing.assert_array_equal(reads({"t": tokens, "v": vector}, None)({"t": tokens, "v": vector}), vector)
    np.testing.assert_array_equal(reads({"t": tokens, "v": vector}, "t")({"t": tokens}), tokens.mean(axis=1))
    np.testing.assert_array_equal(reads({"t": tokens}, None)({"t": tokens}), tokens.mean(axis=1))


def test_recall_at_1_equals_a_loop() -> None:
    """The nearest other sample by cosine has the label; samples alone with theirs are not asked for."""
    random = np.random.default_rng(0)
    vectors, labels = random.normal(0, 1, (40, 5)), np.concatenate([random.integers(0, 4, 38), [98, 99]])
    hits = []
    for i in range(38):
        cosines = [
            -2 if j == i else vectors[i] @ vectors[j] / np.linalg.norm(vectors[i]) / np.linalg.norm(vectors[j])
            for j in range(40)
        ]
        hits.append(labels[int(np.argmax(cosines))] == labels[i])
    assert metrics.recall_at_1(vectors, labels) == pytest.approx(np.mean(hits))


def test_a_nan_output_is_never_right() -> None:
    """Scores that broke are wrong for every metric, not equal to whatever argmax says."""
    broken = np.full((4, 3), np.nan)
    assert metrics.top1(broken, np.zeros(4)) == 0.0
    assert metrics.top5(broken, np.zeros(4)) == 0.0
    assert metrics.agreement(broken, np.eye(3)[[0, 0, 1, 2]]) == 0.0
    assert metrics.agreement(np.full((4, 1), np.nan), np.ones((4, 1))) == 0.0


@pytest.mark.parametrize(
    ("name", "labels", "code"),
    [
        ("top1", np.array([0, 1, 3]), "E-METRIC-LABELS"),
        ("top1", np.array([1, 2, 3]), "E-METRIC-LABELS"),
        ("top1", np.array([-1, 0, 1]), "E-METRIC-LABELS"),
        ("top1", np.array([0.5, 0, 1]), "E-METRIC-LABELS"),
        ("top1", np.array([np.nan, 0, 1]), "E-METRIC-LABELS"),
        ("top1", np.array(["a", "b", "c"]), "E-METRIC-LABELS"),
        ("top1", np.ones((3, 2)), "E-METRIC-LABELS"),
        ("top5", np.array([0, 1, 3]), "E-METRIC-LABELS"),
        ("auc", np.array([0, 1, 2]), "E-METRIC-LABELS"),
        ("auc", np.array([0, 0, 0]), "E-METRIC-ONE-CLASS"),
        ("f1", np.array([0, 0, 0]), "E-METRIC-ONE-CLASS"),
        ("f1", np.array([0, 2, 0]), "E-METRIC-LABELS"),
        ("rmse", np.array([0, 1, 2]), "E-METRIC-SHAPE"),
        ("mae", np.full((3, 3), np.inf), "E-METRIC-LABELS"),
        ("recall_at_1", np.array([0, 1, 2]), "E-METRIC-LABELS"),
    ],
)
def test_labels_that_do_not_fit_are_told(name: str, labels: np.ndarray, code: str) -> None:  # type: ignore[type-arg]
    """Classes that are not there, fractions, text, other shapes, one class: each is refused before any work."""
    with pytest.raises(BadInput) as caught:
        metrics.BUILT_IN[name].checked(np.eye(3), labels)
    assert caught.value.code == code
    assert caught.value.fix


@pytest.mark.parametrize("labels", [np.array([[2], [0], [1]]), np.eye(3)[[2, 0, 1]], np.array([2.0, 0.0, 1.0])])
def test_columns_and_one_hot_labels_are_taken(labels: np.ndarray) -> None:  # type: ignore[type-arg]
    """[N,1], one-hot and whole floats mean the same classes."""
    np.testing.assert_array_equal(metrics.BUILT_IN["top1"].checked(np.eye(3), labels), [2, 0, 1])


def test_every_metric_can_be_pickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes get the metric: a built-in one as it is, a user's by its name."""
    (tmp_path / "my_pickled.py").write_text("def score(outputs, labels):\n    return 0.5\n")
    monkeypatch.chdir(tmp_path)
    for metric in (*metrics.BUILT_IN.values(), metrics.find("my_pickled:score")):
        assert pickle.loads(pickle.dumps(metric)) == metric  # noqa: S301
