"""What is probably wrong with calibration and evaluation data, compared with the model and each other."""

from optimizer.lint.check import lint
from optimizer.lint.finding import Finding

__all__ = ["Finding", "lint"]
