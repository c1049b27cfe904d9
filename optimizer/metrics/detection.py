"""Mean average precision of detections, as COCO defines it: 101 recall points, at most 100 detections of a class.

Labels ``y`` are [N, most objects, 5]: class, x1, y1, x2, y2 in the coordinates of the model's boxes; rows that are no
object hold -1. The matching and the interpolation follow COCOeval of pycocotools (Lin et al. 2014), for objects of all
sizes and without crowd regions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array
from optimizer.metrics.detection_layouts import overlaps
from optimizer.metrics.labels import require_numeric
from optimizer.metrics.metric import Resampled
from optimizer.metrics.resample import ratio

_MOST_OF_A_CLASS = 100
_RECALLS = np.linspace(0, 1, 101)
_HALF = np.array([0.5])
_FROM_HALF = np.linspace(0.5, 0.95, 10)


@dataclass(frozen=True)
class _Class:
    """What is known about one class, once for all resamples.

    Attributes:
        image: Image of each detection, best score first over all images.
        right: Whether each detection found an object, [thresholds, detections].
        objects: Number of objects in each image.
    """

    image: Array
    right: Array
    objects: Array

    def average_precision(self, counts: Array) -> Array:
        """Return the class's precision [resamples], averaged over thresholds and recalls; NaN without objects."""
        total = counts @ self.objects
        some = self.right.any(axis=0)  # precision is asked for only where something was found
        weights = counts[:, self.image[some]]
        seen = np.cumsum(counts[:, self.image], axis=1)[:, some]
        found = np.mean([_interpolated(weights, seen, right, total) for right in self.right[:, some]], axis=0)
        return np.where(total > 0, found, np.nan)


def objects(outputs: Array, labels: Array) -> Array:
    """Return the labels where float32 finds at least one of the objects.

    Raises:
        BadInput: E-METRIC-LABELS.
    """
    require_numeric(labels)
    if labels.ndim != 3 or labels.shape[2] != 5 or len(labels) != len(outputs):
        raise _bad(f"the labels have shape {list(labels.shape)}, for {len(outputs)} images")
    real = labels[..., 0] >= 0
    if not real.any():
        raise _bad("no image has an object")
    found = labels[real]
    whole = np.isfinite(found).all(axis=1) & (found[:, 0] == np.trunc(found[:, 0]))
    if not (whole & (found[:, 3] > found[:, 1]) & (found[:, 4] > found[:, 2])).all():
        raise _bad("an object has no whole class, or its box is not x1 < x2 and y1 < y2")
    if not map50(outputs, labels) > 0:
        raise _bad(
            "float32 finds no object of the right class with half of its box (mAP@0.5 is 0): its boxes reach "
            f"{_reach(outputs[outputs[..., 5] >= 0][:, :4])} with classes {_some(outputs[..., 5])}, the labels' "
            f"{_reach(found[:, 1:])} with classes {_some(found[:, 0])}"
        )
    return labels


def map50(outputs: Array, labels: Array) -> float:
    """Mean over classes of the average precision at IoU 0.5; NaN where there are no objects."""
    return float(map50_resampled(outputs, labels)(np.ones((1, len(outputs))))[0])


def map50_resampled(outputs: Array, labels: Array) -> Resampled:
    """Return `map50` as a function of counts: matching is per image, only its sums are done again."""
    return _mean_average_precision(outputs, labels, _HALF)


def map50_95(outputs: Array, labels: Array) -> float:
    """Mean over classes and the IoUs 0.5, 0.55 … 0.95 of the average precision; NaN where there are no objects."""
    return float(map50_95_resampled(outputs, labels)(np.ones((1, len(outputs))))[0])


def map50_95_resampled(outputs: Array, labels: Array) -> Resampled:
    """Return `map50_95` as a function of counts."""
    return _mean_average_precision(outputs, labels, _FROM_HALF)


def _mean_average_precision(outputs: Array, labels: Array, thresholds: Array) -> Resampled:
    found = outputs.reshape(-1, outputs.shape[2])
    image = np.repeat(np.arange(len(outputs)), outputs.shape[1])
    numbers = [int(number) for number in np.unique(labels[..., 0]) if number >= 0]
    classes = []
    for number in numbers:
        own = found[:, 5] == number
        classes.append(_matched(found[own], image[own], labels, number, thresholds))

    def of(counts: Array) -> Array:
        total, defined = np.zeros(len(counts)), np.zeros(len(counts))
        for one in classes:
            precision = one.average_precision(counts)
            total += np.nan_to_num(precision)
            defined += ~np.isnan(precision)
        return ratio(total, defined)

    return of


def _matched(found: Array, image: Array, labels: Array, number: int, thresholds: Array) -> _Class:
    """Match all detections of a class, image by image."""
    order = np.lexsort((-found[:, 4], image))
    found, image = found[order], image[order]
    place = np.arange(len(image)) - np.searchsorted(image, image)  # inside its image
    found, image = found[place < _MOST_OF_A_CLASS], image[place < _MOST_OF_A_CLASS]
    is_own = labels[..., 0] == number
    right = np.zeros((len(thresholds), len(found)), bool)
    for index in np.flatnonzero(is_own.any(axis=1)):
        start, end = np.searchsorted(image, [index, index + 1])
        if end > start:
            right[:, start:end] = _right(found[start:end], labels[index][is_own[index]][:, 1:], thresholds)
    order = np.argsort(-found[:, 4], kind="stable")
    return _Class(image[order], right[:, order], is_own.sum(axis=1).astype(np.float64))


def _right(detections: Array, boxes: Array, thresholds: Array) -> Array:
    """Return which detections of one image, best first, take an object that no better one took."""
    right = np.zeros((len(thresholds), len(detections)), bool)
    shared = overlaps(detections.astype(np.float64), boxes.astype(np.float64))[:, ::-1]  # of equals the last is taken
    free = np.ones((len(thresholds), len(boxes)), bool)
    rows = np.arange(len(thresholds))
    for index in np.flatnonzero(shared.max(axis=1) >= thresholds[0]):
        possible = np.where(free & (shared[index] >= thresholds[:, None]), shared[index], -1.0)
        taken = possible.argmax(axis=1)
        right[:, index] = possible[rows, taken] >= 0
        free[rows, taken] &= ~right[:, index]
    return right


def _interpolated(weights: Array, seen: Array, right: Array, total: Array) -> Array:
    """Return the mean over 101 recalls of the best precision at that recall or above, [resamples].

    Only detections that are right raise the recall, so only there precision is asked for: the recalls that a detection
    is the first to reach count its envelope.
    """
    places = np.flatnonzero(right)
    if not len(places):
        return np.zeros(len(weights))
    hits = np.cumsum(weights[:, places], axis=1)
    below = np.where(seen[:, places] > 0, seen[:, places], 1.0)
    envelope = np.maximum.accumulate((hits / below)[:, ::-1], axis=1)[:, ::-1]
    reached = np.searchsorted(_RECALLS, hits / np.where(total > 0, total, 1.0)[:, None], side="right")
    reached[hits == 0] = 0  # recall 0 is reached by the first object found, not before
    new = np.diff(reached, axis=1, prepend=0)
    interpolated: Array = (envelope * new).sum(axis=1) / len(_RECALLS)
    return interpolated


def _reach(boxes: Array) -> str:
    return f"from {boxes.min():.4g} to {boxes.max():.4g}" if boxes.size else "nothing"


def _some(classes: Array) -> str:
    return ", ".join(str(int(number)) for number in np.unique(classes[classes >= 0])[:6]) or "none"


def _bad(what: str) -> BadInput:
    return BadInput(
        "E-METRIC-LABELS",
        what,
        "store y as [N, most objects, 5]: class, x1, y1, x2, y2 in the coordinates and the class numbers of the "
        "model's own detections, rows without an object -1",
    )
