"""The plain observer: smallest and largest value seen."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edge_runtime.inference.engine import Array


@dataclass
class MinMax:
    """Smallest and largest value of everything given to `update`."""

    low: float = field(default=np.inf)
    high: float = field(default=-np.inf)

    def update(self, values: Array) -> None:
        """Take in one batch; an empty one changes nothing, a NaN stays visible in the range."""
        if values.size:
            self.low = float(np.minimum(self.low, values.min()))
            self.high = float(np.maximum(self.high, values.max()))

    @property
    def range(self) -> tuple[float, float]:
        """Return (low, high); (0, 0) where nothing was seen."""
        return (self.low, self.high) if self.low <= self.high or np.isnan(self.low) else (0.0, 0.0)
