"""Exact rewrites of the float32 graph: one rewrite per file, each verified numerically and rolled back if wrong."""

from optimizer.simplify.chain import simplify
from optimizer.simplify.speed import speed_up
from optimizer.simplify.steps import Simplified, Step

__all__ = ["Simplified", "Step", "simplify", "speed_up"]
