"""Samples or batches that a user's generator yields, collected without holding them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array, SampleArray, Tensor
from optimizer.lazy_arrays import Spool
from optimizer.user_code import call

_END = object()


def collect(
    spec: str, items: Iterator[Any], inputs: Sequence[Tensor], in_memory: int
) -> tuple[dict[str, SampleArray], Array | None]:
    """Return the arrays and labels that an iterator yields piece by piece.

    A piece is a dict of arrays by input name, one array for a single input, or a pair (such, label or labels). An array
    with as many axes as the model's input is a batch, one with an axis less is one sample.

    Raises:
        BadInput: E-USER-FUNCTION, the code failed or yields something else; E-DATA-SHAPE or E-DATA-DTYPE, a piece
            differs from the first; E-DATA-LABELS, some pieces have labels and some have not.
        EnvironmentFault: E-FILE-WRITE.
    """
    spools: dict[str, Spool] = {}
    first: dict[str, Array] = {}
    labels: list[Array] = []
    count = 0
    while (item := call(spec, next, items, _END)) is not _END:
        arrays, label, single = _piece(spec, item, inputs)
        place = f"{spec}, piece {count}"
        if count == 0:
            first = arrays
            spools = {name: Spool(array.shape[1:], array.dtype, in_memory) for name, array in arrays.items()}
        _check_alike(first, arrays, place)
        if count and (label is not None) != bool(labels):
            raise BadInput("E-DATA-LABELS", f"{place}: only some pieces have labels", "yield labels always or never")
        if label is not None:
            labels.append(_labels(label, single, len(next(iter(arrays.values()), ())), place))
        for name, array in arrays.items():
            spools[name].append(array)
        count += 1
    found = {name: spool.finish() for name, spool in spools.items()} or {"x": np.empty(0)}
    return found, np.concatenate(labels) if labels else None


def _piece(spec: str, item: Any, inputs: Sequence[Tensor]) -> tuple[dict[str, Array], Array | None, bool]:
    """Return a piece's arrays with a sample axis, its labels, and whether it is a single sample."""
    label = None
    if isinstance(item, tuple) and len(item) == 2:
        item, label = item
    if isinstance(item, np.ndarray):
        item = {"x": item}
    if not isinstance(item, Mapping):
        raise BadInput(
            "E-USER-FUNCTION",
            f"{spec} yielded {type(item).__name__}",
            "yield a dict of arrays by input name, or a pair (arrays, labels), for one sample or one batch at a time",
        )
    arrays = {str(name): np.asarray(array) for name, array in item.items()}
    axes = {tensor.name: len(tensor.shape) for tensor in inputs} | ({"x": len(inputs[0].shape)} if inputs else {})
    single = any(array.ndim < axes.get(name, 0) for name, array in arrays.items())
    if single:
        arrays = {name: array[np.newaxis] for name, array in arrays.items()}
    return arrays, None if label is None else np.asarray(label), single


def _check_alike(first: dict[str, Array], arrays: dict[str, Array], place: str) -> None:
    if first.keys() != arrays.keys():
        raise BadInput(
            "E-DATA-INPUTS", f"{place} has arrays {list(arrays)}, the first one {list(first)}", "yield the same names"
        )
    for name, array in arrays.items():
        wanted = first[name].shape[1:]
        if array.shape[1:] != wanted or array.ndim != first[name].ndim:
            raise BadInput(
                "E-DATA-SHAPE",
                f"{place}: a sample of {name} has shape {list(array.shape[1:])}, the first {list(wanted)}",
                "resize or pad all samples to one shape",
            )
        if array.dtype != first[name].dtype:
            raise BadInput(
                "E-DATA-DTYPE", f"{place}: {name} is {array.dtype}, at first {first[name].dtype}", "yield one dtype"
            )
    if len({array.shape[:1] for array in arrays.values()}) > 1:
        sizes = {name: array.shape[0] for name, array in arrays.items()}
        raise BadInput("E-DATA-LENGTH", f"{place}: the inputs have different numbers of samples: {sizes}", "equal ones")


def _labels(label: Array, single: bool, samples: int, place: str) -> Array:
    labels = label[np.newaxis] if single else label
    if labels.ndim == 0 or len(labels) != samples:
        raise BadInput(
            "E-DATA-LABELS", f"{place}: {labels.size} labels for {samples} samples", "yield one label per sample"
        )
    return labels
