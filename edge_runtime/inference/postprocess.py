"""From a model's raw output to what an operator reads: a label, an alarm or a value."""

from __future__ import annotations

import math
from typing import TypeAlias

import msgspec
import numpy as np

from edge_runtime.inference.engine import Array


class Outcome(msgspec.Struct, frozen=True):
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

    def decide(self, output: Array) -> Outcome:
        """Decide on one sample's flat output."""
        scores = output.ravel()
        if not scores.size or not np.isfinite(scores).all():
            return Outcome(value=None)
        index = int(scores.argmax())
        label = self.labels[index] if index < len(self.labels) else str(index)
        return Outcome(value=float(scores[index]), label=label, alarm=label in self.alarm_on if self.alarm_on else None)


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

    def decide(self, output: Array) -> Outcome:
        """Decide on one sample's flat output."""
        value = float(output.ravel()[self.index])
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

    def decide(self, output: Array) -> Outcome:
        """Decide on one sample's flat output."""
        value = float(output.ravel()[self.index])
        return Outcome(value=value if math.isfinite(value) else None)


Decision: TypeAlias = Argmax | Threshold | Value
