"""Whether a classifier's answers speak for the data it was given, or for a changed form of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_runtime.inference.engine import Array

_CERTAIN = 4.0  # standard errors


@dataclass(frozen=True)
class Answers:
    """A classifier's answers to some samples.

    Attributes:
        right: Whether each answer is the label, None without labels.
        entropies: Of each answer, in nats: 0 where it is sure.
        information: Nats that an answer tells of its sample (mutual information): 0 where all are alike.
    """

    right: Array | None
    entropies: Array
    information: float

    @property
    def entropy(self) -> float:
        """The mean entropy of an answer, in nats."""
        return float(self.entropies.mean())


def read(scores: Array, labels: Array | None) -> Answers | None:
    """Return what rows of scores say, None where they are no classifier's: no probabilities, and no labels that fit."""
    if scores.ndim != 2 or scores.shape[1] < 2 or not np.isfinite(scores).all():
        return None
    classes = _classes(labels, scores)
    probabilities = scores.astype(np.float64)
    if not ((probabilities > -1e-6).all() and np.allclose(probabilities.sum(axis=1), 1, atol=1e-2)):
        if classes is None:
            return None
        exponents = np.exp(probabilities - probabilities.max(axis=1, keepdims=True))
        probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    entropies = _entropy(probabilities)
    information = float(_entropy(probabilities.mean(axis=0)) - entropies.mean())
    return Answers(None if classes is None else scores.argmax(axis=1) == classes, entropies, information)


def clearly_more_right(other: Answers, given: Answers) -> bool | None:
    """Tell whether another form of the samples is answered right more often; None without labels.

    At least 5 points more, and by 4 standard errors of the answers that differ (McNemar's test). A constant answer may
    be right on samples of one class; so the answers also have to tell the samples better apart.
    """
    if other.right is None or given.right is None:
        return None
    gained, lost = int((other.right & ~given.right).sum()), int((given.right & ~other.right).sum())
    certain = gained - lost > _CERTAIN * np.sqrt(gained + lost)
    return bool(certain and gained - lost > 0.05 * len(given.right) and other.information > given.information)


def clearly_surer(other: Answers, given: Answers) -> bool:
    """Tell whether the model knows another form of the samples better: surer of each, and telling them better apart."""
    gain = given.entropies - other.entropies
    error = gain.std() / np.sqrt(len(gain))
    return bool(
        gain.mean() > _CERTAIN * error
        and given.entropy > 1.25 * other.entropy
        and other.information > 1.02 * given.information
    )


def _classes(labels: Array | None, scores: Array) -> Array | None:
    if labels is None or labels.size != len(scores) or not np.issubdtype(labels.dtype, np.number):
        return None
    flat = labels.reshape(-1)
    fits = (flat == np.rint(flat)).all() and flat.min() >= 0 and flat.max() < scores.shape[1]
    return flat.astype(np.int64) if fits else None


def _entropy(probabilities: Array) -> Array:
    clipped = np.clip(probabilities, 1e-12, 1)
    entropy: Array = -(clipped * np.log(clipped)).sum(axis=-1)
    return entropy
