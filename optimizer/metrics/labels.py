"""Labels in the form metrics compute with, or what is wrong with them."""

from __future__ import annotations

import numpy as np

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array

_OWN = "or write your own --metric module:function"


def columns(outputs: Array) -> Array:
    """Return outputs as [samples, numbers of a sample]."""
    rows: Array = outputs.reshape(len(outputs), -1)
    return rows


def classes(outputs: Array, labels: Array) -> Array:
    """Return one class index per sample, each a column of the scores.

    Takes [N], [N,1] and one-hot [N, classes] labels.

    Raises:
        BadInput: E-METRIC-SHAPE or E-METRIC-LABELS.
    """
    found = _class_of_each(outputs, labels)
    count = columns(outputs).shape[1]
    outside = np.flatnonzero((found < 0) | (found >= count))
    if not len(outside):
        return found
    if count == 1:
        fix = "the model gives one number a sample, not a score per class: use --metric auc, f1, rmse or mae"
    elif found.min() == 1 and found.max() == count:
        fix = "the labels seem to count from 1: store y - 1"
    else:
        fix = f"store class indices 0 to {count - 1}, in the order of the output, or name it: --score-output NAME"
    raise BadInput(
        "E-METRIC-LABELS",
        f"sample {outside[0]} has label {found[outside[0]]}, and the output has {count} scores, 0 to {count - 1}",
        fix,
    )


def binary(outputs: Array, labels: Array) -> Array:
    """Return 0 or 1 per sample; -1 and 1 are taken as well.

    Raises:
        BadInput: E-METRIC-SHAPE, E-METRIC-LABELS, or E-METRIC-ONE-CLASS, all samples are of one class.
    """
    found = _class_of_each(outputs, labels)
    values = np.unique(found)
    if not set(values.tolist()) <= {-1, 0, 1} or len(values) > 2:
        raise BadInput(
            "E-METRIC-LABELS",
            f"the labels hold {len(values)} values ({', '.join(map(str, values[:6]))}); this metric knows 0 and 1",
            f"store 0 and 1, use --metric top1 for more classes, {_OWN}",
        )
    if len(values) < 2:
        raise one_class(int(values[0]), len(found))
    ones: Array = (found == 1).astype(np.int64)
    return ones


def with_class_1(outputs: Array, labels: Array) -> Array:
    """Return a class index per sample, at least one of them 1.

    Raises:
        BadInput: E-METRIC-SHAPE, E-METRIC-LABELS or E-METRIC-ONE-CLASS.
    """
    found = _class_of_each(outputs, labels)
    if not (found == 1).any():
        raise one_class(int(found[0]), len(found)) if len(np.unique(found)) == 1 else _no_class_1(found)
    return found


def numbers(outputs: Array, labels: Array) -> Array:
    """Return labels of a regression: finite, as many numbers a sample as the model gives.

    Raises:
        BadInput: E-METRIC-SHAPE or E-METRIC-LABELS.
    """
    require_numeric(labels)
    same_size(outputs, labels)
    bad = np.flatnonzero(~np.isfinite(columns(labels)).all(axis=1))
    if len(bad):
        raise BadInput("E-METRIC-LABELS", f"the label of sample {bad[0]} is NaN or infinite", "repair or drop it")
    return labels


def one_per_sample(outputs: Array, labels: Array) -> Array:
    """Return integer labels [N], whatever they count.

    Raises:
        BadInput: E-METRIC-SHAPE or E-METRIC-LABELS.
    """
    return _class_of_each(outputs, labels)


def same_size(outputs: Array, labels: Array) -> None:
    """Demand as many labels as numbers in the outputs.

    Raises:
        BadInput: E-METRIC-SHAPE.
    """
    if outputs.size != labels.size:
        raise BadInput(
            "E-METRIC-SHAPE",
            f"the model gives {outputs.size // len(outputs)} numbers a sample, the labels {labels.size // len(labels)}",
            "store as many numbers a sample in y as the model gives, or name the output: --score-output NAME",
        )


def doubts_about_one_class(truth: Array) -> tuple[str, ...]:
    """Say where all evaluation samples are of one class."""
    if len(np.unique(truth)) > 1:
        return ()
    return (
        f"all {len(truth)} evaluation samples are of class {truth.ravel()[0]}: a model that always answers "
        f"{truth.ravel()[0]} would score 1.0; give samples of every class",
    )


def one_class(label: int, count: int) -> BadInput:
    """Return the error for an evaluation set that cannot show what is asked."""
    return BadInput(
        "E-METRIC-ONE-CLASS",
        f"all {count} evaluation samples have label {label}: the metric has no value",
        "give samples of both classes; a class that is cut off by order needs shuffled data",
    )


def require_numeric(labels: Array) -> None:
    """Demand numbers.

    Raises:
        BadInput: E-METRIC-LABELS.
    """
    if not (np.issubdtype(labels.dtype, np.number) or labels.dtype == np.bool_) or np.iscomplexobj(labels):
        raise BadInput("E-METRIC-LABELS", f"the labels are {labels.dtype}, not numbers", "store them as numbers in y")


def _class_of_each(outputs: Array, labels: Array) -> Array:
    require_numeric(labels)
    if len(outputs) != len(labels):
        raise BadInput(
            "E-METRIC-SHAPE",
            f"the output has {len(outputs)} rows for {len(labels)} samples",
            f"name an output with one row per sample: --score-output NAME, {_OWN}",
        )
    if labels.size == len(labels):
        flat = labels.reshape(-1)
    elif labels.shape == columns(outputs).shape and _is_one_hot(labels):
        flat = labels.argmax(axis=1)
    else:
        raise BadInput(
            "E-METRIC-LABELS",
            f"the labels have shape {list(labels.shape)}: neither one class per sample nor one-hot as the output "
            f"{list(outputs.shape)}",
            f"store one class index per sample in y, {_OWN}",
        )
    whole = np.isfinite(flat) & (flat == np.trunc(flat))
    if not whole.all():
        first = int(np.flatnonzero(~whole)[0])
        raise BadInput(
            "E-METRIC-LABELS",
            f"sample {first} has label {flat[first]}, which is no class",
            "store class indices, or use --metric rmse or mae for values",
        )
    return flat.astype(np.int64)


def _is_one_hot(labels: Array) -> bool:
    return bool(((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all())


def _no_class_1(found: Array) -> BadInput:
    return BadInput(
        "E-METRIC-LABELS",
        f"no sample has label 1, whose F1 score is asked (labels: {', '.join(map(str, np.unique(found)[:6]))})",
        f"number the class that matters 1, {_OWN}",
    )
