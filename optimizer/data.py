"""Calibration and evaluation data, checked against the model before anything is computed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array, SampleArray, SampleFeeds, Tensor
from edge_runtime.inference.features import Features
from edge_runtime.inference.preprocess import Preprocess
from optimizer import data_sources
from optimizer.feature_data import FeatureArray, RawWindows, raw_windows
from optimizer.lazy_arrays import IN_MEMORY_BYTES, MappedArray, blocks


@dataclass(frozen=True)
class Dataset:
    """Samples for every input of a model, ready to run, and their labels.

    It can be pickled: arrays in memory by value; where one is on disk, as the call of `load_dataset` that made it, so
    the other process opens, or makes, the files again.

    Attributes:
        feeds: Input name -> array with all samples along its first axis, preprocessed, in the model's dtype. It is in
            memory below `IN_MEMORY_BYTES`, else each slice ``start:stop`` is read and preprocessed when asked for.
        labels: One label per sample, or None.
        source: Where the samples came from, as the user wrote it.
        ignored: Names of arrays in the source that no input or label uses.
        reload: Makes this dataset again, in this process or another; None where it was made from arrays.
        raw: The windows that the feeds are features of; None where the feeds are what the user gave, or by value in
            another process.
    """

    feeds: SampleFeeds
    labels: Array | None
    source: str
    ignored: tuple[str, ...] = ()
    reload: Callable[[], Dataset] | None = field(default=None, repr=False, compare=False)
    raw: RawWindows | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(next(iter(self.feeds.values())))

    def head(self, count: int) -> dict[str, Array]:
        """Return the first `count` samples of every input."""
        return {name: array[:count] for name, array in self.feeds.items()}

    def first(self, count: int) -> Dataset:
        """Return a dataset of the first `count` samples, or of all where there are fewer."""
        labels = self.labels[:count] if self.labels is not None else None
        raw = self.raw.first(count) if self.raw is not None else None
        return Dataset(self.head(count), labels, self.source, self.ignored, raw=raw)

    @cached_property
    def sha256(self) -> str:
        """Return the digest of names, dtypes, shapes and values, in a fixed order."""
        digest = hashlib.sha256()
        named = [*sorted(self.feeds.items()), *([("labels", self.labels)] if self.labels is not None else [])]
        for name, array in named:
            digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
            for _, part in blocks(array):
                digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        if self.reload is not None and not all(isinstance(array, np.ndarray) for array in self.feeds.values()):
            return _made_again, (self.reload,)
        return Dataset, (self.feeds, self.labels, self.source, self.ignored, self.reload)


def _made_again(reload: Callable[[], Dataset]) -> Dataset:
    return reload()


def load_dataset(
    spec: str,
    inputs: Sequence[Tensor],
    preprocess: Preprocess,
    in_memory: int = IN_MEMORY_BYTES,
    features: Features | None = None,
) -> Dataset:
    """Read what `spec` names and check it against the model's inputs.

    Args:
        spec: An .npz, .npy or .csv file, a folder of images, or ``module:function``.
        inputs: The model's inputs.
        preprocess: Applied to every floating-point input.
        in_memory: Inputs of fewer bytes are held in memory, preprocessed; larger ones are read when they are used.
        features: Computed of what is read, which are raw windows then, before `preprocess`.

    Raises:
        BadInput: E-DATA-… or E-FEATURES-… naming what is wrong; nothing is guessed, cut or filled in.
        EnvironmentFault: E-FILE-WRITE, there is no room for a temporary file.
    """
    arrays, labels = data_sources.read(spec, inputs, in_memory)
    raw = raw_windows(arrays, inputs, features, spec) if features is not None else None
    feeds = _features_of(raw, inputs) if raw is not None else arrays
    dataset = dataset_from_arrays(feeds, labels, inputs, preprocess, spec, in_memory)
    reload = partial(load_dataset, spec, tuple(inputs), preprocess, in_memory, features)
    return replace(dataset, reload=reload, raw=raw)


def dataset_of_windows(
    arrays: SampleFeeds, labels: Array | None, inputs: Sequence[Tensor], preprocess: Preprocess, features: Features
) -> Dataset:
    """Return the features of raw windows in memory as a dataset; see `load_dataset` for errors."""
    raw = raw_windows(arrays, inputs, features, "arrays")
    dataset = dataset_from_arrays(_features_of(raw, inputs), labels, inputs, preprocess, "arrays")
    return replace(dataset, raw=raw)


def _features_of(raw: RawWindows, inputs: Sequence[Tensor]) -> dict[str, SampleArray]:
    return {t.name: FeatureArray(raw.arrays[t.name], raw.features, t.shape[1:]) for t in inputs}


def dataset_from_arrays(
    arrays: SampleFeeds,
    labels: Array | None,
    inputs: Sequence[Tensor],
    preprocess: Preprocess,
    source: str,
    in_memory: int = IN_MEMORY_BYTES,
) -> Dataset:
    """Check arrays against the model's inputs and return them as a dataset; see `load_dataset` for errors."""
    named = _match_inputs(arrays, inputs, source)
    ignored = tuple(sorted(set(arrays) - set(named) - {"x"}))
    feeds = {t.name: _checked(named[t.name], t, preprocess, source, in_memory) for t in inputs}
    lengths = {name: len(array) for name, array in feeds.items()}
    if len(set(lengths.values())) > 1:
        raise _bad(
            "E-DATA-LENGTH", f"{source}: the inputs have different numbers of samples: {lengths}", "make them equal"
        )
    labels = np.atleast_1d(labels) if labels is not None else None
    if labels is not None and len(labels) != next(iter(lengths.values())):
        raise _bad(
            "E-DATA-LABELS",
            f"{source}: {len(labels)} labels for {next(iter(lengths.values()))} samples",
            "store one label per sample",
        )
    return Dataset(feeds, labels, source, ignored)


def _match_inputs(arrays: Mapping[str, SampleArray], inputs: Sequence[Tensor], source: str) -> dict[str, SampleArray]:
    if len(inputs) == 1 and "x" in arrays and inputs[0].name not in arrays:
        return {inputs[0].name: arrays["x"]}
    missing = [tensor.name for tensor in inputs if tensor.name not in arrays]
    if missing:
        raise _bad(
            "E-DATA-INPUTS",
            f"{source} has no array for input {', '.join(missing)} (it has: {', '.join(sorted(arrays)) or 'nothing'})",
            "name the arrays after the model's inputs (see `edgeopt inspect MODEL`), or use x where there is one input",
        )
    return {tensor.name: arrays[tensor.name] for tensor in inputs}


def _checked(array: SampleArray, tensor: Tensor, preprocess: Preprocess, source: str, in_memory: int) -> SampleArray:
    """Return the array preprocessed and in the input's dtype; numbers are widened, never narrowed or parsed."""
    place = f"{source}, input {tensor.name}"
    if array.ndim == 0 or len(array) == 0:
        raise _bad("E-DATA-EMPTY", f"{place}: there are no samples", "store at least one sample along the first axis")
    wanted = np.dtype(tensor.dtype)
    _check_dtype(array, wanted, place)
    _check_shape(array, tensor, place)
    prepared = MappedArray(array, partial(_prepare, preprocess=preprocess, dtype=wanted), wanted)
    _check_finite(array, prepared, place)
    small = int(np.prod(array.shape, dtype=object)) * wanted.itemsize < in_memory
    return _whole(prepared) if small else prepared


def _whole(prepared: MappedArray) -> Array:
    """Return all samples in memory; prepared block by block, so that no second copy lies beside them."""
    whole = np.empty(prepared.shape, prepared.dtype)
    for start, part in blocks(prepared):
        whole[start : start + len(part)] = part
    return whole


def _prepare(samples: Array, preprocess: Preprocess, dtype: np.dtype[Any]) -> Array:
    processed = preprocess.apply(samples) if np.issubdtype(dtype, np.floating) else samples
    with np.errstate(over="ignore"):  # too large for the dtype becomes infinite, which is refused by name
        return processed.astype(dtype)


def _check_finite(array: SampleArray, prepared: MappedArray, place: str) -> None:
    """Refuse NaN and infinity, be they stored or come about in preparing; also reads every value once."""
    for start, part in blocks(array):
        for values in (part, prepared.function(part)):
            if not np.issubdtype(values.dtype, np.floating) or np.isfinite(values).all():
                continue
            first = start + int(np.argwhere(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))[0, 0])
            raise _bad(
                "E-DATA-NOT-FINITE", f"{place}: sample {first} holds NaN or infinity", "repair or drop such samples"
            )


def _check_dtype(array: SampleArray, wanted: np.dtype[Any], place: str) -> None:
    """Allow integers for floats and any float for a float; a float for an integer input would lose its fraction."""
    numeric = np.issubdtype(array.dtype, np.number) and not np.issubdtype(array.dtype, np.complexfloating)
    numeric = numeric or array.dtype == np.bool_
    same_kind = np.issubdtype(wanted, np.floating) or not np.issubdtype(array.dtype, np.floating)
    if not numeric or not same_kind:
        raise _bad(
            "E-DATA-DTYPE",
            f"{place}: the data are {array.dtype}, the model takes {wanted}",
            f"store the array as {wanted}",
        )


def _check_shape(array: SampleArray, tensor: Tensor, place: str) -> None:
    expected = tensor.shape[1:]
    fits = len(array.shape) == len(tensor.shape) and all(
        isinstance(want, str) or want == have for want, have in zip(expected, array.shape[1:], strict=True)
    )
    if not fits:
        raise _bad(
            "E-DATA-SHAPE",
            f"{place}: one sample has shape {list(array.shape[1:])}, the model takes {list(expected)}",
            "reshape or transpose the data to the model's layout; the first axis is the sample",
        )


def _bad(code: str, message: str, fix: str) -> BadInput:
    return BadInput(code, message, fix)
