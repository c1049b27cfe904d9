"""Metrics of embeddings: spearman (similarity of pairs), recall_at_1 (retrieval).

An embedding is the output named with --score-output; else the first float output [N, size]; else the mean over the
tokens of the first float output [N, tokens, size], padding included.

Pairs for `spearman` are consecutive samples: 0 and 1, 2 and 3, and so on. Their gold similarity stands in ``y`` of
both, since data hold one label per sample; one label per pair is taken as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array
from optimizer.metrics.labels import one_per_sample, require_numeric
from optimizer.metrics.metric import Resampled
from optimizer.metrics.outputs import float_outputs, name_of_score_output
from optimizer.metrics.resample import ratio, sums_by_group

_BLOCK = 512  # queries compared with everything at once
_TINY = 1e-12


@dataclass(frozen=True)
class Embedding:
    """Takes one vector per sample: the output itself, or the mean over its tokens."""

    name: str

    def __call__(self, outputs: Mapping[str, Array]) -> Array:
        """Return vectors [N, size]."""
        found = outputs[self.name]
        return found.mean(axis=1) if found.ndim == 3 else found.reshape(len(found), -1)


def read_embedding(outputs: Mapping[str, Array], wanted: str | None) -> Embedding:
    """Look at the output asked for, else the first of rank 2, else the first of rank 3.

    Raises:
        BadInput: E-METRIC-OUTPUT.
    """
    floats = float_outputs(outputs)
    found = [name for rank in (2, 3) for name, array in floats.items() if array.ndim == rank]
    return Embedding(name_of_score_output(outputs, wanted or next(iter(found), None)))


def pairs(outputs: Array, labels: Array) -> Array:
    """Return the gold similarity of each pair.

    Raises:
        BadInput: E-METRIC-SHAPE or E-METRIC-LABELS.
    """
    require_numeric(labels)
    gold = labels.reshape(-1).astype(np.float64)
    rows = len(outputs)
    if rows % 2 or len(gold) not in {rows, rows // 2}:
        raise BadInput(
            "E-METRIC-SHAPE",
            f"{rows} embeddings and {len(gold)} labels make no pairs",
            "store pairs as consecutive samples, and their gold similarity as y of both",
        )
    if len(gold) == rows:
        if not np.array_equal(gold[::2], gold[1::2]):
            first = int(np.flatnonzero(gold[::2] != gold[1::2])[0]) * 2
            raise BadInput(
                "E-METRIC-LABELS",
                f"samples {first} and {first + 1} are a pair with two similarities: {gold[first]}, {gold[first + 1]}",
                "store pairs as consecutive samples, and their gold similarity as y of both",
            )
        gold = gold[::2]
    if not np.isfinite(gold).all() or len(np.unique(gold)) < 2:
        raise BadInput(
            "E-METRIC-LABELS",
            "the gold similarities hold NaN or infinity, or are all the same: there is no order to compare with",
            "store one finite number per pair, of at least two different ones",
        )
    return gold


def spearman(outputs: Array, labels: Array) -> float:
    """Spearman's rank correlation of the cosine of each pair with its gold similarity; ties get their mean rank."""
    return float(spearman_resampled(outputs, labels)(np.ones((1, len(outputs) // 2)))[0])


def spearman_resampled(outputs: Array, labels: Array) -> Resampled:
    """Return `spearman` as a function of the pairs' counts."""
    unit = _unit(outputs)
    cosines = (unit[::2] * unit[1::2]).sum(axis=1)
    gold = labels.reshape(-1)

    def of(counts: Array) -> Array:
        if np.isnan(cosines).any():
            return np.full(len(counts), np.nan)
        return _correlation(counts, _mean_ranks(counts, cosines), _mean_ranks(counts, gold))

    return of


def recall_at_1(outputs: Array, labels: Array) -> float:
    """Share of samples whose nearest other sample (by cosine) has the same label.

    Samples that are alone with their label are only found, never looked up. NaN where all are alone.
    """
    return float(recall_at_1_resampled(outputs, labels)(np.ones((1, len(outputs))))[0])


def recall_at_1_resampled(outputs: Array, labels: Array) -> Resampled:
    """Return `recall_at_1` as a function of the queries' counts; what they are looked up in stays whole."""
    unit, ids = _unit(outputs), labels.reshape(-1)
    nearest = np.empty(len(unit), np.int64)
    for start in range(0, len(unit), _BLOCK):
        similar = unit[start : start + _BLOCK] @ unit.T
        similar[np.arange(len(similar)), np.arange(start, start + len(similar))] = -np.inf
        nearest[start : start + _BLOCK] = similar.argmax(axis=1)
    _, group, sizes = np.unique(ids, return_inverse=True, return_counts=True)
    has_mate = sizes[group] > 1
    hit = (ids[nearest] == ids) & has_mate & ~np.isnan(unit).any(axis=1)

    def of(counts: Array) -> Array:
        return ratio(counts @ (hit * 1.0), counts @ (has_mate * 1.0))

    return of


def identities(outputs: Array, labels: Array) -> Array:
    """Return one identity per sample, at least one of them shared.

    Raises:
        BadInput: E-METRIC-SHAPE, E-METRIC-LABELS, or E-METRIC-ONE-CLASS.
    """
    found = one_per_sample(outputs, labels)
    _, sizes = np.unique(found, return_counts=True)
    if sizes.max() < 2:
        raise BadInput(
            "E-METRIC-LABELS",
            "no two samples have the same label: nothing can be found",
            "store at least two samples of each identity, with the same y",
        )
    return found


def _unit(outputs: Array) -> Array:
    vectors = outputs.astype(np.float64)
    unit: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _TINY)
    return unit


def _mean_ranks(counts: Array, values: Array) -> Array:
    """Return for each resample the mean rank of each sample's value among all copies."""
    groups = sums_by_group(counts, values)
    ranks = np.cumsum(groups, axis=1) - (groups - 1) / 2
    mean_ranks: Array = ranks[:, np.unique(values, return_inverse=True)[1].ravel()]
    return mean_ranks


def _correlation(counts: Array, first: Array, second: Array) -> Array:
    """Return Pearson's correlation of each row, samples weighted by their counts."""
    total = counts.sum(axis=1, keepdims=True)
    first = first - (counts * first).sum(axis=1, keepdims=True) / total
    second = second - (counts * second).sum(axis=1, keepdims=True) / total
    spread = (counts * first**2).sum(axis=1) * (counts * second**2).sum(axis=1)
    return ratio((counts * first * second).sum(axis=1), np.sqrt(spread))
