"""From a model's raw output to what an operator reads: a label, an alarm or a value."""

from __future__ import annotations

import math
from typing import TypeAlias

import msgspec
import numpy as np

from edge_runtime.inference.engine import Array


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What one prediction says.

    Attributes:
        value: The deciding number: class probability or score, thresholded score, or regression value.
            None where the model gave no finite number.
        label: Class name, or the class index as text where no labels are known; None for regression.
        alarm: Whether an operator should look; None where the decision knows no alarm.
    """

    value: float | None
    label: str | None = None
    alarm: bool | None = None


class Argmax(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="argmax"):
    """The class with the largest score.

    Attributes:
        labels: Class names in output order; the index stands in where they are missing.
        alarm_on: Labels that raise the alarm.
    """

    labels: tuple[str, ...] = ()
    alarm_on: tuple[str, ...] = ()

    def decide(self, outputs: Array) -> list[Outcome]:
        """Decide on the outputs of many samples, [samples, scores]."""
        if not outputs.shape[1]:
            return [Outcome(value=None)] * len(outputs)
        finite = np.atleast_1d(np.isfinite(outputs).all(axis=1))
        best = outputs.argmax(axis=1)
        scores = outputs[np.arange(len(outputs)), best].tolist()
        found = zip(best.tolist(), scores, finite, strict=True)
        return [self._outcome(index, score) if good else Outcome(value=None) for index, score, good in found]

    def _outcome(self, index: int, score: float) -> Outcome:
        label = self.labels[index] if index < len(self.labels) else str(index)
        return Outcome(value=float(score), label=label, alarm=label in self.alarm_on if self.alarm_on else None)


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="threshold"):
    """An alarm when one score leaves its limits, of which at least one is given.

    Attributes:
        above: Alarm when the score is greater than this; None for no upper limit.
        below: Alarm when the score is less than this; None for no lower limit.
        index: Which element of the flat output is the score; negative counts from the end.
    """

    above: float | None = None
    below: float | None = None
    index: int = -1

    def __post_init__(self) -> None:
        if self.above is None and self.below is None:
            raise ValueError("a threshold needs above, below or both")

    def decide(self, outputs: Array) -> list[Outcome]:
        """Decide on the outputs of many samples, [samples, scores]."""
        return [self._outcome(float(value)) for value in outputs[:, self.index].tolist()]

    def _outcome(self, value: float) -> Outcome:
        if not math.isfinite(value):
            return Outcome(value=None)
        too_high = self.above is not None and value > self.above
        too_low = self.below is not None and value < self.below
        return Outcome(value=value, alarm=too_high or too_low)


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="value"):
    """A regression value, published as it is.

    Attributes:
        index: Which element of the flat output is the value.
        unit: Engineering unit published beside the value.
    """

    index: int = 0
    unit: str = ""

    def decide(self, outputs: Array) -> list[Outcome]:
        """Decide on the outputs of many samples, [samples, values]."""
        column = map(float, outputs[:, self.index].tolist())
        return [Outcome(value=value if math.isfinite(value) else None) for value in column]


Decision: TypeAlias = Argmax | Threshold | Value
