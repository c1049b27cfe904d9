"""Samples one by one: constant ones, repeated ones, those in both datasets, NaN, and how many there are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np

from edge_runtime.inference.batch import batches
from edge_runtime.inference.engine import Array
from optimizer.data import Dataset
from optimizer.lazy_arrays import sample_bytes
from optimizer.lint.finding import Finding

_BLOCK_BYTES = 2**20
_FEW = 32
# Blank frames and pauses are part of many recordings (one class in twelve of spoken commands is silence); a fault of
# the reader blanks much more.
_CONSTANT_SHARE = 0.2
# Idle machines and silence repeat themselves (0.25 % of a real set of spoken commands); files read twice repeat half.
_DUPLICATE_SHARE = 0.2
# Of the smaller dataset. A real pair of sets of spoken commands, split with care, shares 2 %; a leak shares nearly all
# of one of the two.
_LEAK_SHARE = 0.1
_LEAK_COUNT = 3
_SHORT_ROW = 16  # whole numbers in so few columns are categories and counts, which repeat by nature


@dataclass(frozen=True)
class Rows:
    """One number per sample, 8 bytes each, and what was seen on the way.

    Attributes:
        name: Which data, for people.
        hashes: A hash of each sample's values, all inputs together.
        constant: Whether all values of the sample are equal.
        finite: Whether no value is NaN or infinite.
        repeats_by_nature: Whether all samples are a few whole numbers.
    """

    name: str
    hashes: Array
    constant: Array
    finite: Array
    repeats_by_nature: bool


def read(role: str, data: Dataset) -> Rows:
    """Read all samples once, about 1 MiB at a time."""
    size = max(1, _BLOCK_BYTES // sum(sample_bytes(array) for array in data.feeds.values()))
    hashes, constant, finite, whole = [], [], [], True
    for batch in batches(data.feeds, size):
        rows = [np.ascontiguousarray(array).reshape(len(array), -1) for array in batch.values()]
        hashes.append(np.array([_hash([array[i].tobytes() for array in rows]) for i in range(len(rows[0]))], np.uint64))
        constant.append(reduce(np.logical_and, [(array == array[:, :1]).all(axis=1) for array in rows]))
        finite.append(reduce(np.logical_and, [np.isfinite(array).all(axis=1) for array in rows]))
        whole = whole and all(bool((array == np.rint(array)).all()) for array in rows)
    width = sum(int(np.prod(array.shape[1:])) for array in data.feeds.values())
    all_constant = np.concatenate(constant) & (width > 1)
    name = f"{role} ({data.source})"
    return Rows(name, np.concatenate(hashes), all_constant, np.concatenate(finite), whole and width < _SHORT_ROW)


def about_each(rows: Rows) -> Iterator[Finding]:
    """Yield what is wrong inside one dataset."""
    count = len(rows.hashes)
    odd = int((~rows.finite).sum())
    if odd:
        yield Finding(
            "L-NOT-FINITE",
            f"{rows.name}: {odd} of {count} samples hold NaN or infinity",
            "drop them: keep = numpy.isfinite(x.reshape(len(x), -1)).all(1); numpy.savez('data.npz', x=x[keep], ...)",
        )
    constant = int(rows.constant.sum())
    if constant > 1 and constant > _CONSTANT_SHARE * count:
        yield Finding(
            "L-CONSTANT",
            f"{rows.name}: in {constant} of {count} samples all values are equal",
            "look for blank frames or a sensor that was not connected; to drop them: "
            "keep = numpy.ptp(x.reshape(len(x), -1), axis=1) > 0; numpy.savez('data.npz', x=x[keep], ...)",
        )
    varied = rows.hashes[~rows.constant]
    surplus = len(varied) - len(np.unique(varied))
    if surplus > 1 and surplus > _DUPLICATE_SHARE * len(varied) and not rows.repeats_by_nature:
        yield Finding(
            "L-DUPLICATES",
            f"{rows.name}: {surplus} of {count} samples are copies of others; they count several times",
            "keep each once: _, keep = numpy.unique(x.reshape(len(x), -1), axis=0, return_index=True); "
            "numpy.savez('data.npz', x=x[keep], ...)",
        )


def about_both(calibration: Rows, evaluation: Rows) -> Finding | None:
    """Return the leak between calibration and evaluation samples, if there is one."""
    if calibration.repeats_by_nature:
        return None
    ours, theirs = (_seen_once(rows) for rows in (calibration, evaluation))
    common = len(np.intersect1d(ours, theirs))
    if common < _LEAK_COUNT or common < _LEAK_SHARE * min(len(ours), len(theirs)):
        return None
    return Finding(
        "L-LEAK",
        f"{common} samples are in both {calibration.name}, of {len(calibration.hashes)}, and {evaluation.name}, of "
        f"{len(evaluation.hashes)}: the measured accuracy is optimistic",
        "split once, by recording and not by window: --calibration and --evaluation take samples of different ones, "
        "for instance x[:500] and x[500:]",
    )


def few(calibration: Dataset) -> Finding | None:
    """Return whether there are too few calibration samples for ranges that hold."""
    if len(calibration) >= _FEW:
        return None
    return Finding(
        "L-FEW-SAMPLES",
        f"calibration ({calibration.source}) has {len(calibration)} samples: the ranges seen in so few do not hold",
        f"give --calibration at least {_FEW}, better 100 to 500, drawn from all situations the model will meet",
    )


def _seen_once(rows: Rows) -> Array:
    """Return the hashes of samples that are neither constant nor repeated: those repeat by chance, not by a leak."""
    found, counts = np.unique(rows.hashes[~rows.constant], return_counts=True)
    once: Array = found[counts == 1]
    return once


def _hash(parts: list[bytes]) -> int:
    return int.from_bytes(hashlib.blake2b(b"".join(parts), digest_size=8).digest(), "little")
