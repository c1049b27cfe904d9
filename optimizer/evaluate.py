"""A model's quality in the user's metric, with its interval, against one float32 reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from edge_runtime.errors import BadInput
from edge_runtime.inference.batch import batch_size_of, run_all
from edge_runtime.inference.engine import Array, Engine
from edge_runtime.package.manifest import Accuracy
from optimizer.budget import Budget, nearest_budget
from optimizer.data import Dataset
from optimizer.metrics.metric import Metric
from optimizer.metrics.outputs import Reader, Viewed, joined, picked
from optimizer.metrics.resample import counts, picks
from optimizer.user_code import fingerprint

__all__ = ["CONFIDENCE", "Budget", "Judge", "nearest_budget"]

CONFIDENCE = 0.95
_RESAMPLES = 400
_BATCH = 32


@dataclass(frozen=True)
class Judge:
    """Evaluates models on one dataset with one metric against one float32 reference.

    Attributes:
        metric: The user's metric.
        data: Evaluation samples.
        reader: What takes from all outputs what the metric looks at.
        truth: What outputs are compared with: the labels, checked, or the float32 outputs.
        reference_outputs: What the metric looks at of the float32 model's outputs on all samples.
        reference_value: The float32 model's value.
        confidence: Coverage of all intervals.
    """

    metric: Metric
    data: Dataset
    reader: Reader
    truth: Array
    reference_outputs: Viewed
    reference_value: float
    confidence: float = CONFIDENCE

    @classmethod
    def of(
        cls, engine: Engine, metric: Metric, data: Dataset, output: str | None, confidence: float = CONFIDENCE
    ) -> Judge:
        """Run the float32 model once and keep what every candidate is compared with.

        Raises:
            BadInput: E-METRIC-NEEDS-LABELS; E-METRIC-LABELS, -SHAPE, -ONE-CLASS, -OUTPUT or -LAYOUT, the labels or
                outputs do not fit the metric; E-METRIC-NAN, the float32 model has no value; E-METRIC-UNSTABLE.
        """
        if metric.needs_labels and data.labels is None:
            raise BadInput(
                "E-METRIC-NEEDS-LABELS",
                f"metric {metric.name} needs labels, and {data.source} has none",
                "store them as y (one per sample), or use --metric agreement, which needs none",
            )
        reader, outputs = _read_first(engine, metric, data, output)
        truth = _truth(metric, data, outputs)
        value = value_of(metric, outputs, truth)
        if not np.isfinite(value):
            raise BadInput(
                "E-METRIC-NAN",
                f"metric {metric.name} of the float32 model on {data.source} is {value}",
                "check that the labels hold every class and match the model's outputs",
            )
        if metric.is_users:
            _check_stable(metric, value, value_of(metric, outputs, truth))
        return cls(metric, data, reader, truth, outputs, value, confidence)

    def evaluate(self, engine: Engine, batch: int) -> Accuracy:
        """Run a candidate on all samples and return its value and its loss with percentile bootstrap intervals.

        Args:
            engine: The candidate.
            batch: Samples per run; 1 where the result depends on the batch, as with dynamic quantization.

        The intervals are Efron's percentile intervals (Efron and Tibshirani 1993, chapter 13) over seeded resamples.
        The loss is paired: candidate and float32 model are compared on the same resampled samples.
        """
        return self.accuracy_of(self.outputs_of(engine, batch))

    def outputs_of(self, engine: Engine, batch: int) -> Viewed:
        """Run a candidate on all samples and return what the metric looks at; see `evaluate` for the arguments."""
        return joined([self.reader(part) for part in _parts(engine, self.data, batch)])

    def noise_of(self, outputs: Viewed) -> float:
        """Return the mean squared difference to float32 over its variance, the worst output's: 1 drowns the signal."""
        if isinstance(outputs, dict) and isinstance(self.reference_outputs, dict):
            return max(noise_in(outputs[name], array) for name, array in self.reference_outputs.items())
        return noise_in(np.asarray(outputs), np.asarray(self.reference_outputs))

    def parts(self) -> dict[str, Any]:
        """Return what a judgement depends on besides the model, as plain values."""
        return {
            "samples": self.data.sha256,
            "metric": self.metric.name,
            "code": fingerprint(self.metric.name) if self.metric.is_users else "",
            "reader": repr(self.reader),
            "confidence": self.confidence,
        }

    def accuracy_of(self, outputs: Viewed) -> Accuracy:
        """Return the value of a candidate's outputs and its loss, with their intervals; see `evaluate`."""
        value, values = self._measured(outputs)
        loss = self._loss(value, self.reference_value)
        losses = self._sign * (self._reference_resampled - values)
        (low, high), (loss_low, loss_high) = self._interval(values, value), self._interval(losses, loss)
        return Accuracy(
            metric=self.metric.name,
            value=value,
            low=low,
            high=high,
            reference=self.reference_value,
            loss=loss,
            loss_low=loss_low,
            loss_high=loss_high,
            samples=len(self.data),
            confidence=self.confidence,
        )

    def value_of(self, outputs: Mapping[str, Array]) -> float | None:
        """Return the value of all of a model's outputs on the first samples.

        None where it is no number on so few, or where the metric does not go by samples.
        """
        viewed = self.reader(outputs)
        rows = len(next(iter(viewed.values())) if isinstance(viewed, dict) else viewed)
        if len(self.truth) != len(self.data):
            return None
        value = _value_or_nan(self.metric, viewed, self.truth[:rows])
        return value if np.isfinite(value) else None

    def doubts(self) -> tuple[str, ...]:
        """Return what these samples cannot show, one sentence each."""
        return self.metric.doubts(self.truth)

    @cached_property
    def _reference_resampled(self) -> Array:
        return self._measured(self.reference_outputs)[1]

    def _measured(self, outputs: Viewed) -> tuple[float, Array]:
        """Return the value on all samples, and on each resample of them; NaN where the metric has none there."""
        metric, units = self.metric, len(self.truth)
        if metric.resampled is not None:
            function = metric.resampled(outputs, self.truth)  # once: detections are matched in here
            value = float(function(np.ones((1, units)))[0])
            return value, np.concatenate([function(block) for block in counts(units, _RESAMPLES)])
        values = [_value_or_nan(metric, picked(outputs, pick), self.truth[pick]) for pick in picks(units, _RESAMPLES)]
        return value_of(metric, outputs, self.truth), np.asarray(values)

    def _interval(self, resampled: Array, otherwise: float) -> tuple[float, float]:
        defined = resampled[np.isfinite(resampled)]  # a resample may miss a class and have no value
        if not len(defined) or not np.isfinite(otherwise):
            return otherwise, otherwise
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(defined, [tail, 1 - tail])
        return float(low), float(high)

    def _loss(self, value: float, reference: float) -> float:
        return self._sign * (reference - value)

    @property
    def _sign(self) -> int:
        return 1 if self.metric.higher_is_better else -1


def noise_in(outputs: Array, reference: Array) -> float:
    """Return the mean squared difference over the variance of the reference: 0 is no loss, 1 drowns the signal."""
    if not np.issubdtype(reference.dtype, np.floating):
        return float(np.mean(outputs != reference))
    difference = outputs.astype(np.float64) - reference
    return float(np.mean(difference**2) / max(float(np.var(reference)), 1e-12))


def _read_first(engine: Engine, metric: Metric, data: Dataset, output: str | None) -> tuple[Reader, Viewed]:
    """Run the float32 model, deciding on its first outputs what is read from them."""
    reader: Reader | None = None
    read = []
    for part in _parts(engine, data, _BATCH):
        reader = reader or metric.reads(part, output)
        read.append(reader(part))
    if reader is None:
        raise BadInput("E-DATA-EMPTY", f"{data.source}: there are no samples", "store at least one sample")
    return reader, joined(read)


def _parts(engine: Engine, data: Dataset, batch: int) -> Iterator[dict[str, Array]]:
    """Yield all outputs of some samples after the other: a detector's outputs on all would not fit into memory."""
    step = batch_size_of(engine, batch)
    step *= max(1, _BATCH // step)
    for start in range(0, len(data), step):
        yield run_all(engine, {name: array[start : start + step] for name, array in data.feeds.items()}, batch)


def _truth(metric: Metric, data: Dataset, outputs: Viewed) -> Array:
    if metric.needs_labels and data.labels is not None:
        return metric.checked(outputs, data.labels)
    if isinstance(outputs, dict):
        raise BadInput("E-METRIC-OUTPUT", f"metric {metric.name} looks at one output", "name it: --score-output NAME")
    return outputs


def value_of(metric: Metric, outputs: Viewed, truth: Array) -> float:
    """Return a metric's value of what it looks at."""
    if metric.resampled is not None:
        return float(metric.resampled(outputs, truth)(np.ones((1, len(truth))))[0])
    return metric.compute(outputs, truth)


def _value_or_nan(metric: Metric, outputs: Viewed, truth: Array) -> float:
    """Return the value; NaN where a user's metric, which works on all samples, fails on some of them."""
    try:
        return value_of(metric, outputs, truth)
    except BadInput as error:
        if error.code != "E-USER-FUNCTION":
            raise
        return float("nan")


def _check_stable(metric: Metric, first: float, second: float) -> None:
    if not np.isclose(first, second, rtol=1e-9, atol=1e-12):
        raise BadInput(
            "E-METRIC-UNSTABLE",
            f"{metric.name} gave {first} and then {second} for the same outputs and labels",
            "make it depend on its arguments alone: seed its random numbers inside the function, keep no state",
        )
