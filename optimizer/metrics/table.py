"""The metrics there are, by name."""

from __future__ import annotations

from edge_runtime.errors import BadInput
from optimizer import user_code
from optimizer.metrics import classification, detection, detection_layouts, labels, ranking, regression
from optimizer.metrics.agreement import agreement, agreement_resampled
from optimizer.metrics.metric import Metric
from optimizer.metrics.outputs import read_for_user
from optimizer.metrics.user import UserFunction

_ONE_CLASS = labels.doubts_about_one_class

_METRICS = (
    Metric(
        "top1",
        classification.top1,
        checked=labels.classes,
        resampled=classification.top1_resampled,
        doubts=_ONE_CLASS,
    ),
    Metric(
        "top5",
        classification.top5,
        checked=labels.classes,
        resampled=classification.top5_resampled,
        doubts=_ONE_CLASS,
    ),
    Metric("auc", classification.auc, checked=labels.binary, resampled=classification.auc_resampled),
    Metric(
        "f1",
        classification.f1,
        checked=labels.with_class_1,
        resampled=classification.f1_resampled,
        doubts=_ONE_CLASS,
    ),
    Metric(
        "rmse",
        regression.rmse,
        higher_is_better=False,
        point=1.0,
        checked=labels.numbers,
        resampled=regression.rmse_resampled,
    ),
    Metric(
        "mae",
        regression.mae,
        higher_is_better=False,
        point=1.0,
        checked=labels.numbers,
        resampled=regression.mae_resampled,
    ),
    Metric(
        "map50",
        detection.map50,
        reads=detection_layouts.read_detections,
        checked=detection.objects,
        resampled=detection.map50_resampled,
    ),
    Metric(
        "map",
        detection.map50_95,
        reads=detection_layouts.read_detections,
        checked=detection.objects,
        resampled=detection.map50_95_resampled,
    ),
    Metric(
        "spearman",
        ranking.spearman,
        reads=ranking.read_embedding,
        checked=ranking.pairs,
        resampled=ranking.spearman_resampled,
    ),
    Metric(
        "recall_at_1",
        ranking.recall_at_1,
        reads=ranking.read_embedding,
        checked=ranking.identities,
        resampled=ranking.recall_at_1_resampled,
    ),
    Metric("agreement", agreement, truth="float32", resampled=agreement_resampled),
)

BUILT_IN = {metric.name: metric for metric in _METRICS}


def find(name: str) -> Metric:
    """Return a built-in metric, or the user's ``module:function`` taking (outputs, labels), higher being better.

    Raises:
        BadInput: E-METRIC-UNKNOWN, or E-USER-FUNCTION where it cannot be imported.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    if ":" in name:
        origin = user_code.Origin.here()
        user_code.import_function(name, origin)  # a wrong name is told before the work, not after it
        return Metric(name, UserFunction(name, origin), reads=read_for_user)
    raise BadInput(
        "E-METRIC-UNKNOWN", f"there is no metric {name}", f"use one of {', '.join(BUILT_IN)}, or module:function"
    )
