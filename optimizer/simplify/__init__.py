"""Exact rewrites of the float32 graph: one rewrite per file, each verified numerically and rolled back if wrong."""

from optimizer.simplify.chain import Simplified, Step, simplify

__all__ = ["Simplified", "Step", "simplify"]
