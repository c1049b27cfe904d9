"""Metrics a budget can be stated in: one number for a model's outputs, with or without labels."""

from optimizer.metrics.agreement import agreement
from optimizer.metrics.classification import auc, f1, top1, top5
from optimizer.metrics.metric import Metric
from optimizer.metrics.outputs import score_output
from optimizer.metrics.ranking import recall_at_1, spearman
from optimizer.metrics.regression import mae, rmse
from optimizer.metrics.table import BUILT_IN, find

__all__ = [
    "BUILT_IN",
    "Metric",
    "agreement",
    "auc",
    "f1",
    "find",
    "mae",
    "recall_at_1",
    "rmse",
    "score_output",
    "spearman",
    "top1",
    "top5",
]
