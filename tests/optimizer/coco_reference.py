"""Mean average precision written out from the definition of COCO, loop by loop; it shares no code with the product."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]


def overlap(a: Box, b: Box) -> float:
    """Return intersection over union of two corner boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def average_precision(detections: NDArray[Any], labels: NDArray[Any], number: int, threshold: float) -> float | None:
    """Return one class's average precision at one IoU; None where the class has no object."""
    scored: list[tuple[float, bool]] = []
    objects = 0
    for found, truth in zip(detections, labels, strict=True):
        boxes = [tuple(map(float, row[1:])) for row in truth if row[0] == number]
        objects += len(boxes)
        own = [row for row in found if row[5] == number]
        own.sort(key=lambda row: -row[4])
        taken: set[int] = set()
        for row in own[:100]:
            best, at = threshold, None
            for index, box in enumerate(boxes):
                shared = overlap(tuple(map(float, row[:4])), box)  # type: ignore[arg-type]
                if index not in taken and shared >= best:
                    best, at = shared, index
            if at is not None:
                taken.add(at)
            scored.append((float(row[4]), at is not None))
    if not objects:
        return None
    scored.sort(key=lambda entry: -entry[0])
    recalls, precisions, right = [], [], 0
    for seen, (_, hit) in enumerate(scored, start=1):
        right += hit
        recalls.append(right / objects)
        precisions.append(right / seen)
    total = 0.0
    for point in np.linspace(0, 1, 101):
        total += max((p for p, r in zip(precisions, recalls, strict=True) if r >= point), default=0.0)
    return total / 101


def mean_average_precision(detections: NDArray[Any], labels: NDArray[Any], thresholds: NDArray[Any]) -> float:
    """Return the mean over classes with objects and over IoUs."""
    numbers = sorted({int(row[0]) for image in labels for row in image if row[0] >= 0})
    found = [average_precision(detections, labels, number, t) for number in numbers for t in thresholds]
    return float(np.mean([value for value in found if value is not None]))
