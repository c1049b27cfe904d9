"""Red and blue exchanged: BGR where the model was trained on RGB, or the reverse."""

from __future__ import annotations

import numpy as np

from edge_runtime.inference.engine import Array
from optimizer.lint import answers
from optimizer.lint.excerpt import Excerpt
from optimizer.lint.finding import Finding
from optimizer.lint.image import colour_axis, reversed_colours
from optimizer.lint.witness import Witness

_RGB = 3
_FEWEST = 16
_PARTS = 4
_FAR, _NEAR = 25.0, 1.25  # squared standard errors; sets of one class each of real images came to 57 and 1.4


def is_reversed(name: str, excerpt: Excerpt, witness: Witness) -> bool | None:
    """Tell whether the model clearly expects the colours in the other order; None where it has no say in it.

    The statistics of its batch normalisation decide, and must do so in each quarter of the samples; where it has none,
    its answers do.
    """
    exchanged = reversed_colours(excerpt.feeds[name])
    if exchanged is None or len(excerpt) < _FEWEST:
        return None
    other = excerpt.with_input(name, exchanged)
    misfits = witness.misfits(name, excerpt, other)
    if misfits is not None:
        clear = misfits[1] < misfits[0] / 2 and misfits[0] - misfits[1] > 0.1
        return clear and _in_each_part(name, excerpt, other, witness)
    before, after = witness.answers(excerpt), witness.answers(other)
    if before is None or after is None:
        return None
    by_labels = answers.clearly_more_right(after, before)
    return answers.clearly_surer(after, before) if by_labels is None else by_labels


def finding(name: str, excerpt: Excerpt) -> Finding:
    """Return what to say where the colours are in the wrong order."""
    return Finding(
        "L-CHANNEL-ORDER",
        f"{excerpt.name}, input {name}: the model fits the samples clearly better with red and blue exchanged",
        _fix(name, excerpt),
    )


def between(name: str, calibration: Excerpt, evaluation: Excerpt) -> Finding | None:
    """Return whether the colours of one dataset are those of the other in the other order, for models without a say.

    Other scenes have other colours, too. So all that is compared (the mean steps from red to green and green to blue,
    of brightness and of contrast) has to differ by far and to agree once the order is reversed.
    """
    axis = colour_axis(calibration.feeds[name])
    if axis is None or min(len(calibration), len(evaluation)) < _FEWEST:
        return None
    ours, theirs = (_colours(data.feeds[name], axis) for data in (calibration, evaluation))
    reversed_ours = -ours[:, [1, 0, 3, 2]]
    if not (_distance(ours, theirs) > _FAR and _distance(reversed_ours, theirs) < _NEAR):
        return None
    return Finding(
        "L-CHANNEL-ORDER",
        f"input {name}: {calibration.name} and {evaluation.name} have the same colours once red and blue are exchanged "
        "in one of them",
        _fix(name, calibration),
    )


def _fix(name: str, excerpt: Excerpt) -> str:
    index = "x[:, ::-1]" if colour_axis(excerpt.feeds[name]) == 1 else "x[..., ::-1]"
    return f"exchange them, here and where the images are taken: numpy.savez('data.npz', {name}={index}, ...)"


def _in_each_part(name: str, given: Excerpt, other: Excerpt, witness: Witness) -> bool:
    for part in np.array_split(np.arange(len(given)), _PARTS):
        forms = [e.with_input(name, e.feeds[name][part]) for e in (given, other)]
        if any(len(array) != len(part) for form in forms for array in form.feeds.values()):
            return True  # several inputs: all samples together have to do
        misfits = witness.misfits(name, *forms)
        if misfits is None or misfits[1] > 0.8 * misfits[0]:
            return False
    return True


def _colours(x: Array, axis: int) -> Array:
    """Return [samples, 4]: the steps from red to green and green to blue, of the mean and of log standard deviation."""
    pixels = np.moveaxis(x, axis, 1).astype(np.float64).reshape(len(x), _RGB, -1)
    spread = np.log(pixels.std(axis=2) + 1e-6 * (pixels.std() + 1e-6))
    return np.concatenate([-np.diff(pixels.mean(axis=2), axis=1), -np.diff(spread, axis=1)], axis=1)


def _distance(ours: Array, theirs: Array) -> float:
    """Return the mean squared distance of two sets' means, in squared standard errors: about 1 for equal ones."""
    error = ours.var(axis=0) / len(ours) + theirs.var(axis=0) / len(theirs)
    return float(((ours.mean(axis=0) - theirs.mean(axis=0)) ** 2 / np.maximum(error, 1e-12)).mean())
