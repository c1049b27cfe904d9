"""What a metric is: how it reads outputs, checks labels, computes its value and resamples it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from edge_runtime.inference.engine import Array
from optimizer.metrics.outputs import Reader, read_score_output

# Counts [resamples, samples], how often each sample is in each resample, to the metric's value of each resample.
Resampled: TypeAlias = Callable[[Array], Array]


def labels_as_given(outputs: Any, labels: Array) -> Array:
    """Take any labels."""
    return labels


def no_doubts(truth: Array) -> tuple[str, ...]:
    """Have nothing to say about the labels."""
    return ()


@dataclass(frozen=True)
class Metric:
    """How good outputs are. Made of named functions only, so that it can be pickled for worker processes.

    Attributes:
        name: As the user writes it.
        compute: (outputs, truth) -> number; both with samples along the first axis.
        higher_is_better: Direction.
        point: What ``1pt`` of a budget means: 0.01 for shares of 1, 1.0 for errors in the output's own unit.
        truth: What the second argument is: the user's labels, or the float32 model's outputs.
        reads: (all outputs of some float32 samples, output the user named) -> what takes from all outputs what the
            metric looks at. Decided once on float32: a candidate is read as the model it stands for.
        checked: (outputs, labels) -> labels in the form `compute` takes, or E-METRIC-LABELS and the like.
        resampled: (outputs, truth) -> the metric as a function of counts, for metrics that have a short way to it.
        doubts: truth -> what the labels cannot show, one sentence each.
    """

    name: str
    compute: Callable[[Any, Array], float]
    higher_is_better: bool = True
    point: float = 0.01
    truth: str = "labels"
    reads: Callable[[Mapping[str, Array], str | None], Reader] = read_score_output
    checked: Callable[[Any, Array], Array] = labels_as_given
    resampled: Callable[[Any, Array], Resampled] | None = None
    doubts: Callable[[Array], tuple[str, ...]] = no_doubts

    @property
    def needs_labels(self) -> bool:
        """Tell whether the metric cannot be computed without labels."""
        return self.truth == "labels"

    @property
    def is_users(self) -> bool:
        """Tell whether the user wrote it."""
        return ":" in self.name
