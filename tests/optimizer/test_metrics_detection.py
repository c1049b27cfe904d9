"""Detection metrics against COCO written out in loops, and the layouts that detectors give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_reference import mean_average_precision
from numpy.typing import NDArray

from edge_runtime.errors import BadInput
from edge_runtime.inference.ort import OrtEngine
from optimizer.data import Dataset
from optimizer.evaluate import Judge
from optimizer.metrics import BUILT_IN
from optimizer.metrics.detection import map50, map50_95, map50_95_resampled
from optimizer.metrics.detection_layouts import MOST_DETECTIONS, read_detections
from optimizer.metrics.resample import counts, picks

FROM_HALF = np.linspace(0.5, 0.95, 10)
Floats = NDArray[Any]


def scene(seed: int, images: int = 8, most: int = 12, classes: int = 3, span: float = 60) -> tuple[Floats, Floats]:
    """Return detections [N,300,6] that are objects moved a little, doubled, missed and made up, and labels."""
    random = np.random.default_rng(seed)
    detections = np.tile(np.array([0, 0, 0, 0, 0, -1.0]), (images, MOST_DETECTIONS, 1))
    labels = np.full((images, most, 5), -1.0)
    for image in range(images):
        count = int(random.integers(0, most + 1))
        low = random.uniform(0, span, (count, 2))
        boxes = np.concatenate([low, low + random.uniform(8, 30, (count, 2))], axis=1)
        numbers = random.integers(0, classes, count)
        labels[image, :count] = np.column_stack([numbers, boxes])
        moved = np.concatenate([boxes, boxes, boxes]) + random.normal(0, 2, (3 * count, 4))
        made_up = random.uniform(0, span, (5, 2))
        moved = np.concatenate([moved, np.concatenate([made_up, made_up + 15], axis=1)])
        of = np.concatenate([numbers, numbers, random.integers(0, classes, count + 5)])
        chosen = random.permutation(len(moved))[: int(random.integers(0, len(moved) + 1))]
        rows = np.column_stack([moved[chosen], random.random(len(chosen)), of[chosen]])
        detections[image, : len(rows)] = rows[np.argsort(-rows[:, 4])]
    return detections, labels


@pytest.mark.parametrize("seed", range(12))
def test_equals_coco_written_out(seed: int) -> None:
    """Matching and 101-point interpolation, images without objects and without detections among them."""
    detections, labels = scene(seed)
    assert map50(detections, labels) == pytest.approx(mean_average_precision(detections, labels, np.array([0.5])))
    assert map50_95(detections, labels) == pytest.approx(mean_average_precision(detections, labels, FROM_HALF))


def test_crowded_images_keep_a_hundred_of_a_class() -> None:
    """With more than 100 detections of a class in an image, the weakest do not count."""
    detections, labels = scene(3, images=3, most=90, classes=1, span=300)
    assert ((detections[..., 5] == 0).sum(axis=1) > 100).any()
    assert map50_95(detections, labels) == pytest.approx(mean_average_precision(detections, labels, FROM_HALF))


def test_perfect_none_and_nothing_to_find() -> None:
    """The labels themselves score 1, no detections 0, and without objects there is no value."""
    detections, labels = scene(1)
    perfect = np.full_like(detections, -1.0)
    perfect[:, : labels.shape[1], :4], perfect[:, : labels.shape[1], 5] = labels[..., 1:], labels[..., 0]
    perfect[..., 4] = 0.9
    assert map50_95(perfect, labels) == pytest.approx(1.0)
    nothing = np.tile(np.array([0, 0, 0, 0, 0, -1.0]), (len(labels), 5, 1))
    assert map50_95(nothing, labels) == 0.0
    assert np.isnan(map50(detections, np.full_like(labels, -1.0)))


def test_resampling_counts_equals_resampling_images() -> None:
    """Weighted sums over matched detections give what matching the resampled images again gives."""
    detections, labels = scene(5, images=20)
    fast = np.concatenate([map50_95_resampled(detections, labels)(block) for block in counts(20, 30)])
    slow = [map50_95(detections[pick], labels[pick]) for pick in picks(20, 30)]
    np.testing.assert_allclose(fast, slow, atol=1e-12)


def _centred(boxes: Floats) -> Floats:
    return np.concatenate([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], axis=-1)


def _made(classes: int = 3, images: int = 4, boxes: int = 40) -> tuple[Floats, Floats, Floats]:
    """Return corner boxes, class scores and labels: the first ten boxes are objects, the rest have low scores."""
    random = np.random.default_rng(2)
    low = np.stack([np.arange(boxes) * 50.0, np.zeros(boxes)], axis=1) + random.uniform(0, 5, (images, boxes, 2))
    corners = np.concatenate([low, low + random.uniform(10, 30, (images, boxes, 2))], axis=2)
    scores = random.uniform(0, 0.3, (images, boxes, classes))
    numbers = random.integers(0, classes, (images, 10))
    np.put_along_axis(scores[:, :10], numbers[..., None], 0.9, axis=2)
    return corners, scores, np.concatenate([numbers[..., None], corners[:, :10]], axis=2)


@pytest.mark.parametrize("layout", ["rows", "columns", "boxes and scores", "scores and boxes", "background", "decoded"])
def test_each_layout_is_told_from_shapes_and_values(layout: str) -> None:
    """The same objects in every layout score the same 1.0."""
    corners, scores, labels = _made()
    centred = _centred(corners)
    decoded = np.concatenate([corners[:, :10], np.full((4, 10, 1), 0.9), labels[..., :1]], axis=2)
    shares = np.concatenate([1 - scores.sum(axis=2, keepdims=True) / 3, scores / 3], axis=2)
    outputs = {
        "rows": {"o": np.concatenate([centred, np.ones((4, 40, 1)), scores], axis=2)},
        "columns": {"o": np.concatenate([centred, scores], axis=2).transpose(0, 2, 1)},
        "boxes and scores": {"b": corners, "s": scores},
        "scores and boxes": {"s": scores, "b": corners},
        "background": {"s": shares, "b": corners},
        "decoded": {"o": decoded, "count": np.full((4, 1), 10.0)},
    }[layout]
    if layout == "background":
        labels = labels + np.array([1.0, 0, 0, 0, 0])
    found = read_detections(outputs, None)(outputs)
    assert map50(found, labels) == pytest.approx(1.0)


def test_suppression_keeps_the_best_of_overlapping_boxes_of_a_class() -> None:
    """Three copies of a box of one class become one; the same place in another class stays."""
    boxes = np.tile(np.array([10.0, 10, 50, 50]), (1, 9, 1)) + np.zeros((1, 9, 1))
    boxes[0, 4:] = 0
    scores = np.zeros((1, 9, 2))
    scores[0, :4] = [[0.9, 0], [0.8, 0], [0.7, 0], [0, 0.6]]
    outputs = {"boxes": boxes, "scores": scores}
    found = read_detections(outputs, None)(outputs)[0]
    assert [(round(float(row[4]), 2), int(row[5])) for row in found if row[5] >= 0] == [(0.9, 0), (0.6, 1)]


@pytest.mark.parametrize(
    "outputs",
    [
        {"logits": np.random.default_rng(0).normal(0, 5, (2, 84, 100))},
        {"classes": np.ones((2, 10))},
        {"offsets": np.random.default_rng(0).normal(0, 1, (2, 100, 4)), "scores": np.full((2, 100, 3), 0.2)},
        {"a": np.ones((2, 100, 4)), "b": np.ones((2, 100, 4))},
        {"a": np.ones((2, 100, 8)), "b": np.ones((2, 50, 8)), "c": np.ones((2, 25, 8))},
    ],
)
def test_other_outputs_are_refused_with_a_way_on(outputs: dict[str, Floats]) -> None:
    """Logits, classifiers, undecoded offsets and several heads are told apart from detections."""
    with pytest.raises(BadInput) as caught:
        read_detections(outputs, None)
    assert caught.value.code == "E-METRIC-LAYOUT"
    assert "--score-output '*'" in caught.value.fix
    assert next(iter(outputs)) in caught.value.message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda y: y[..., :4], "shape"),
        (lambda y: np.full_like(y, -1.0), "no image has an object"),
        (lambda y: y[..., [0, 3, 4, 1, 2]], "x1 < x2"),
        (lambda y: y / np.array([1, 2000, 2000, 2000, 2000]), "boxes reach"),
        (lambda y: y + np.array([7, 0, 0, 0, 0]), "classes 0, 1, 2"),
    ],
)
def test_labels_that_do_not_fit_are_told(change: Any, said: str) -> None:
    """Wrong shape, no objects, swapped corners, other coordinates, other class numbers: each names what it saw."""
    corners, scores, labels = _made()
    outputs = {"b": corners, "s": scores}
    with pytest.raises(BadInput, match=said) as caught:
        BUILT_IN["map50"].checked(read_detections(outputs, None)(outputs), change(labels))
    assert caught.value.code == "E-METRIC-LABELS"


def test_a_real_detector_with_two_outputs_is_judged(assets: Path) -> None:
    """Ultraface against its own detections scores 1.0 with a proper interval."""
    engine = OrtEngine((assets / "odd_graphs" / "ultraface_rfb_320.onnx").read_bytes())
    (tensor,) = engine.inputs
    feeds = {tensor.name: np.random.default_rng(0).normal(0, 1, (3, 3, 240, 320)).astype(np.float32)}
    outputs = [engine.run({tensor.name: feeds[tensor.name][i : i + 1]}) for i in range(3)]
    reader = read_detections(outputs[0], None)
    own = np.concatenate([reader(output) for output in outputs])
    labels = np.where(own[..., 5:] >= 0, own[..., [5, 0, 1, 2, 3]], -1.0)[:, :5]
    found = Judge.of(engine, BUILT_IN["map"], Dataset(feeds, labels, "own"), None).evaluate(engine, 8)
    assert (found.loss, found.loss_low, found.loss_high) == (0.0, 0.0, 0.0)
    assert 0 < found.low <= found.value <= found.high <= 1
