"""How much of the metric may be lost, and the smallest such budget that a result would meet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

import numpy as np

from edge_runtime.errors import BadInput
from edge_runtime.package.manifest import Accuracy
from optimizer.metrics.metric import Metric

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


def nearest_budget(metric: Metric, accuracy: Accuracy, relative: bool, *, certain: bool = False) -> str:
    """Return the smallest ``--max-drop`` that this result would meet, rounded up to two digits or a tenth.

    Args:
        metric: The metric of the budget.
        accuracy: A result, usually the best one that was rejected.
        relative: Whether the budget is in percent; where float32's value is 0 no percentage helps, and points are said.
        certain: Whether the upper end of the loss has to be inside.

    Raises:
        ValueError: the loss is NaN or infinite, which no budget allows.
    """
    loss = accuracy.loss_high if certain else accuracy.loss
    if not np.isfinite(loss):
        raise ValueError(f"no budget allows a loss of {loss}")
    relative = relative and accuracy.reference != 0
    amount = loss / (abs(accuracy.reference) / 100 if relative else metric.point)
    unit = "%" if relative else "pt"
    found = _rounded_up(max(0.0, amount))
    if not Budget.parse(f"{found:f}{unit}").is_met(metric, loss, accuracy.reference):
        found += Decimal(1).scaleb(_last_digit(found))  # division and product may differ in the last bit
    text = f"{found:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + unit


def _rounded_up(amount: float) -> Decimal:
    exact = Decimal(repr(amount))
    return exact.quantize(Decimal(1).scaleb(_last_digit(exact)), rounding=ROUND_CEILING)


def _last_digit(amount: Decimal) -> int:
    """Return the power of ten that is kept: tenths from 1 on, two digits below."""
    return min(-1, amount.adjusted() - 1) if amount else -1
