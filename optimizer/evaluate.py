"""A model's quality in the user's metric, with its interval, and the budget it has to stay inside."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import BadInput
from edge_runtime.inference.batch import run_all
from edge_runtime.inference.engine import Array, Engine
from edge_runtime.package.manifest import Accuracy
from optimizer.data import Dataset
from optimizer.metrics import Metric, score_output

CONFIDENCE = 0.95
_RESAMPLES = 400
_BUDGET = re.compile(r"^\s*(?P<number>\d+(\.\d+)?)\s*(?P<unit>pt|%)\s*$")


@dataclass(frozen=True)
class Budget:
    """How much of the metric may be spent.

    Attributes:
        amount: Points of the metric (``1pt``: 0.01 of a share, 1 unit of an error), or percent of float32's value.
        relative: Whether the amount is percent.
        certain: Whether the whole confidence interval of the loss must stay inside, not only the measured loss.
    """

    amount: float
    relative: bool
    certain: bool = False

    @classmethod
    def parse(cls, text: str, *, certain: bool = False) -> Budget:
        """Read ``1pt`` or ``1%``.

        Raises:
            BadInput: E-BUDGET-FORMAT.
        """
        match = _BUDGET.match(text)
        if match is None:
            raise BadInput(
                "E-BUDGET-FORMAT",
                f"the budget {text!r} has no known unit",
                "write points of the metric, --max-drop 1pt, or percent of the float32 value, --max-drop 1%",
            )
        return cls(float(match["number"]), match["unit"] == "%", certain)

    def allowed(self, metric: Metric, reference: float) -> float:
        """Return the largest loss allowed, in the metric's own numbers."""
        return abs(reference) * self.amount / 100 if self.relative else self.amount * metric.point

    def is_met(self, metric: Metric, loss: float, reference: float) -> bool:
        """Tell whether a loss against `reference` is allowed; a NaN never meets a budget."""
        # A loss of exactly the budget is met; 1e-9 absorbs the last bit of the subtraction.
        return bool(loss <= self.allowed(metric, reference) + 1e-9)

    def __str__(self) -> str:
        return f"{self.amount:g}%" if self.relative else f"{self.amount:g}pt"


@dataclass(frozen=True)
class Judge:
    """Evaluates models on one dataset with one metric against one float32 reference.

    Attributes:
        metric: The user's metric.
        data: Evaluation samples.
        output: Name of the output the metric looks at, None for the first float one.
        reference_outputs: The float32 model's outputs on all samples.
        reference_value: The float32 model's value.
        confidence: Coverage of all intervals.
    """

    metric: Metric
    data: Dataset
    output: str | None
    reference_outputs: Array
    reference_value: float
    confidence: float = CONFIDENCE

    @classmethod
    def of(
        cls, engine: Engine, metric: Metric, data: Dataset, output: str | None, confidence: float = CONFIDENCE
    ) -> Judge:
        """Run the float32 model once and keep what every candidate is compared with.

        Raises:
            BadInput: E-METRIC-NEEDS-LABELS; E-METRIC-NAN, the float32 model itself has no value.
        """
        if metric.needs_labels and data.labels is None:
            raise BadInput(
                "E-METRIC-NEEDS-LABELS",
                f"metric {metric.name} needs labels, and {data.source} has none",
                "store them as y (one per sample), or use --metric agreement, which needs none",
            )
        outputs = score_output(run_all(engine, data.feeds), output)
        judge = cls(metric, data, output, outputs, 0.0)
        value = judge.value_of(outputs)
        if not np.isfinite(value):
            raise BadInput(
                "E-METRIC-NAN",
                f"metric {metric.name} of the float32 model on {data.source} is {value}",
                "check that the labels hold every class and match the model's outputs",
            )
        return cls(metric, data, output, outputs, value, confidence)

    def value_of(self, outputs: Array) -> float:
        """Return the metric of outputs on all samples."""
        return self.metric.compute(outputs, self._truth())

    def outputs_of(self, engine, batch):
        return score_output(run_all(engine, self.data.feeds, batch), self.output)

    def parts(self):
        return {"evaluation": self.data.sha256, "metric": self.metric.name, "output": self.output, "confidence": self.confidence}

    def accuracy_of(self, outputs):
        value = self.value_of(outputs)
        values, losses = self._resampled(outputs)
        loss = self._loss(value, self.reference_value)
        (low, high), (loss_low, loss_high) = self._interval(values, value), self._interval(losses, loss)
        return Accuracy(metric=self.metric.name, value=value, low=low, high=high, reference=self.reference_value, loss=loss,
            loss_low=loss_low, loss_high=loss_high, samples=len(self.data), confidence=self.confidence)

    def evaluate(self, engine: Engine, batch: int) -> Accuracy:
        """Run a candidate on all samples and return its value and its loss with percentile bootstrap intervals.

        Args:
            engine: The candidate.
            batch: Samples per run; 1 where the result depends on the batch, as with dynamic quantization.

        The intervals are Efron's percentile intervals (Efron and Tibshirani 1993, chapter 13) over seeded resamples.
        The loss is paired: candidate and float32 model are compared on the same resampled samples.
        """
        outputs = score_output(run_all(engine, self.data.feeds, batch), self.output)
        value = self.value_of(outputs)
        values, losses = self._resampled(outputs)
        loss = self._loss(value, self.reference_value)
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

    def _resampled(self, outputs: Array) -> tuple[Array, Array]:
        """Return the candidate's value and its loss on each resample of the samples."""
        generator = np.random.default_rng(0)
        truth, count, compute = self._truth(), len(outputs), self.metric.compute
        values, losses = np.empty(_RESAMPLES), np.empty(_RESAMPLES)
        for index in range(_RESAMPLES):
            pick = generator.integers(0, count, count)
            values[index] = compute(outputs[pick], truth[pick])
            losses[index] = self._loss(values[index], compute(self.reference_outputs[pick], truth[pick]))
        return values, losses

    def _interval(self, resampled: Array, otherwise: float) -> tuple[float, float]:
        defined = resampled[np.isfinite(resampled)]  # a resample may miss a class and have no value
        if not len(defined):
            return otherwise, otherwise
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(defined, [tail, 1 - tail])
        return float(low), float(high)

    def _loss(self, value: float, reference: float) -> float:
        return reference - value if self.metric.higher_is_better else value - reference

    def _truth(self) -> Array:
        if self.metric.needs_labels and self.data.labels is not None:
            return self.data.labels
        return self.reference_outputs


def nearest_budget(metric, accuracy, relative): return "9pt"
