"""Detector outputs of the common layouts, decoded to one form: [N, 300, 6] of (x1, y1, x2, y2, score, class).

rows (YOLOv5, v7): [N, boxes, 5 + classes], cx, cy, w, h, objectness, class scores; score = objectness * class score.
columns (YOLOv8, 11): [N, 4 + classes, boxes], cx, cy, w, h, class scores.
boxes and scores (SSD, Ultraface): [N, boxes, 4], x1, y1, x2, y2, and [N, boxes, classes]; where the scores of every box
add up to 1, column 0 is background and classes count from 1.
decoded: [N, detections, 6], x1, y1, x2, y2, score, class; suppression is done already.

Boxes stay in the model's own coordinates; labels have to be in the same. Missing detections have class -1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array
from optimizer.metrics.outputs import ALL_OUTPUTS, float_outputs

Kind: TypeAlias = Literal["rows", "columns", "boxes and scores", "decoded"]

MOST_DETECTIONS = 300  # per image, as the usual validation of these detectors keeps
_MOST_CANDIDATES = 1000  # per image, before suppression
_SMALLEST_SCORE = 0.001
_SUPPRESSION_IOU = 0.7
_MISSING = (0.0, 0.0, 0.0, 0.0, 0.0, -1.0)
_LAYOUTS = (
    "[N, boxes, 5+classes] (cx,cy,w,h,objectness,scores), [N, 4+classes, boxes] (cx,cy,w,h,scores), "
    "[N, boxes, 4] (x1,y1,x2,y2) with [N, boxes, classes], or decoded [N, detections, 6] (x1,y1,x2,y2,score,class)"
)


@dataclass(frozen=True)
class Detections:
    """Takes detections out of outputs of one layout.

    Attributes:
        kind: The layout.
        boxes: Name of the output that holds the boxes.
        scores: Name of the output that holds the scores; the same where one holds both.
        background: Whether score column 0 is background.
    """

    kind: Kind
    boxes: str
    scores: str
    background: bool = False

    def __call__(self, outputs: Mapping[str, Array]) -> Array:
        """Return [N, 300, 6], best score first, missing ones with class -1."""
        boxes, scores = outputs[self.boxes].astype(np.float32), outputs[self.scores].astype(np.float32)
        if self.kind == "decoded":
            return np.stack([_filled(_sane(image)) for image in boxes])
        if self.kind == "columns":
            boxes = scores = boxes.transpose(0, 2, 1)
        corners = boxes if self.kind == "boxes and scores" else _corners(boxes[..., :4])
        of_classes = {"rows": scores[..., 5:] * scores[..., 4:5], "columns": scores[..., 4:]}.get(self.kind, scores)
        first = int(self.background)
        images = zip(corners, of_classes[..., first:], strict=True)
        return np.stack([_filled(_suppressed(*_candidates(*image, first))) for image in images])


def read_detections(outputs: Mapping[str, Array], wanted: str | None) -> Detections:
    """Tell the layout from shapes and values of float32 outputs.

    Raises:
        BadInput: E-METRIC-OUTPUT; E-METRIC-LAYOUT, no layout or more than one fits.
    """
    if wanted is not None and wanted not in outputs:
        raise BadInput(
            "E-METRIC-OUTPUT", f"there is no output {wanted} (outputs: {', '.join(outputs)})", "see --score-output"
        )
    known = {wanted: outputs[wanted]} if wanted else float_outputs(outputs)
    floats = {name: array for name, array in known.items() if array.ndim == 3}
    if len(floats) == 1:
        ((name, array),) = floats.items()
        fitting = [kind for kind in _kinds_by_shape(array) if _values_fit(kind, array)]
        if len(fitting) == 1:
            return Detections(fitting[0], name, name)
    if len(floats) == 2:
        found = _boxes_and_scores(floats)
        if found is not None:
            return found
    raise _unknown_layout(outputs)


def _kinds_by_shape(array: Array) -> list[Kind]:
    """Return the layouts whose shape it has; there are always more boxes than numbers of a box."""
    _, second, third = array.shape
    if third == 6 and _looks_decoded(array):
        return ["decoded"]
    if second > third >= 6:
        return ["rows"]
    return ["columns"] if third > second >= 5 else []


def _looks_decoded(array: Array) -> bool:
    """Tell whether the last column holds whole numbers and the boxes are corners, in all rows with a score."""
    rows = array.reshape(-1, 6)
    rows = rows[rows[:, 4] > 0]
    whole = (rows[:, 5] == np.trunc(rows[:, 5])) & (rows[:, 5] >= 0)
    return bool((whole & (rows[:, 2] >= rows[:, 0]) & (rows[:, 3] >= rows[:, 1]) & (rows[:, 4] <= 1)).all())


def _values_fit(kind: Kind, array: Array) -> bool:
    """Tell whether scores are shares and boxes have sizes, as after the sigmoid and the decoding of boxes."""
    if kind == "decoded":
        return True
    rows = array if kind == "rows" else array.transpose(0, 2, 1)
    return _are_shares(rows[..., 4:]) and bool((rows[..., 2:4] >= 0).all())


def _boxes_and_scores(floats: Mapping[str, Array]) -> Detections | None:
    """Return which of two outputs holds the boxes; None where neither or either could."""
    names = list(floats)
    fitting = [pair for pair in (names, names[::-1]) if _are_boxes_and_scores(floats[pair[0]], floats[pair[1]])]
    if len(fitting) != 1:
        return None
    ((boxes, scores),) = fitting
    shares = floats[scores]
    background = shares.shape[2] > 1 and bool(np.allclose(shares.sum(axis=2), 1, atol=1e-2))
    return Detections("boxes and scores", boxes, scores, background)


def _are_boxes_and_scores(boxes: Array, scores: Array) -> bool:
    if boxes.shape[2] != 4 or boxes.shape[:2] != scores.shape[:2] or not _are_shares(scores):
        return False
    return bool((boxes[..., 2:] >= boxes[..., :2]).all())


def _are_shares(scores: Array) -> bool:
    return bool(((scores >= -1e-3) & (scores <= 1 + 1e-3)).all())


def _unknown_layout(outputs: Mapping[str, Array]) -> BadInput:
    found = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in outputs.items())
    return BadInput(
        "E-METRIC-LAYOUT",
        f"the outputs ({found}) are no detections of a known layout. Known, with scores from 0 to 1: {_LAYOUTS}",
        "name the one output that holds detections (--score-output NAME), or write `def score(outputs, labels)` in "
        f"my_metric.py, which gets all outputs by name: --metric my_metric:score --score-output '{ALL_OUTPUTS}'",
    )


def _corners(centred: Array) -> Array:
    half = centred[..., 2:] / 2
    return np.concatenate([centred[..., :2] - half, centred[..., :2] + half], axis=-1)


def _candidates(corners: Array, scores: Array, first: int) -> tuple[Array, Array, Array]:
    """Return boxes, scores and classes of the best (box, class) pairs of one image, best first."""
    box, column = np.nonzero(scores >= _SMALLEST_SCORE)  # a NaN is no candidate
    found = scores[box, column]
    order = np.argsort(-found, kind="stable")[:_MOST_CANDIDATES]
    return corners[box[order]], found[order], column[order] + first


def _suppressed(boxes: Array, scores: Array, classes: Array) -> Array:
    """Drop every box that overlaps a better one of its class (greedy non-maximum suppression)."""
    left = np.arange(len(boxes))
    kept: list[int] = []
    while len(left) and len(kept) < MOST_DETECTIONS:
        best, left = int(left[0]), left[1:]
        kept.append(best)
        same = classes[left] == classes[best]
        left = left[~(same & (overlaps(boxes[best : best + 1], boxes[left])[0] > _SUPPRESSION_IOU))]
    return np.concatenate([boxes[kept], scores[kept, None], classes[kept, None]], axis=1)


def overlaps(first: Array, second: Array) -> Array:
    """Return intersection over union [first, second] of corner boxes; 0 where both are empty."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:4], second[None, :, 2:4])
    both = np.clip(high - low, 0, None).prod(axis=2)
    areas = [np.clip(box[:, 2:4] - box[:, :2], 0, None).prod(axis=1) for box in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - both
    shared: Array = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    return shared


def _sane(rows: Array) -> Array:
    """Return the decoded detections that are some, best first."""
    kept = rows[(rows[:, 4] > 0) & (rows[:, 5] >= 0) & np.isfinite(rows).all(axis=1)]
    return kept[np.argsort(-kept[:, 4], kind="stable")]


def _filled(detections: Array) -> Array:
    full = np.tile(np.asarray(_MISSING, np.float32), (MOST_DETECTIONS, 1))
    kept = detections[:MOST_DETECTIONS]
    full[: len(kept)] = kept
    return full
