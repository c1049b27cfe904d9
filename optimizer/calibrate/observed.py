"""What must be known of a tensor to judge its ranges, whoever observed it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Observed(Protocol):
    """Extremes of a tensor; `optimizer.calibrate.histogram.Histogram` knows them."""

    @property
    def low(self) -> float:
        """Return the smallest value seen."""

    @property
    def high(self) -> float:
        """Return the largest value seen."""

    @property
    def channel_low(self) -> NDArray[np.float32] | None:
        """Return the smallest value of each index along axis 1, None where that is not known."""

    @property
    def channel_high(self) -> NDArray[np.float32] | None:
        """Return the largest value of each index along axis 1, None where that is not known."""
