"""Weight corrections: float32 model in, float32 model out whose int8 form computes closer to the original."""

from optimizer.correct.ladder import CORRECTIONS, Correction, in_order

__all__ = ["CORRECTIONS", "Correction", "in_order"]
