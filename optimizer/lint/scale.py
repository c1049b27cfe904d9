"""Values on another scale than the model was trained on: 0 to 1 instead of 0 to 255, or the reverse."""

from __future__ import annotations

import numpy as np

from edge_runtime.inference.engine import Array
from optimizer.lint import answers
from optimizer.lint.answers import Answers
from optimizer.lint.excerpt import Excerpt
from optimizer.lint.finding import Finding
from optimizer.lint.image import channel_axis, reversed_colours
from optimizer.lint.witness import Witness

_EIGHT_BIT = 255.0
_FEWEST = 16
_RATIO = 8.0  # between calibration and evaluation; seasons, machines and faults change values less
_QUANTILES = (0.5, 0.9, 0.99)


def factor_for(name: str, excerpt: Excerpt, witness: Witness) -> float | None:
    """Return 255 or 1/255 where the model clearly expects the samples times that, None where they may stay.

    The model's own statistics decide; where it has none, its answers, and only for values that lie as if the factor had
    been forgotten or taken twice.
    """
    x = excerpt.feeds[name]
    if not np.issubdtype(x.dtype, np.floating) or x.ndim < 2:
        return None
    for factor in (_EIGHT_BIT, 1 / _EIGHT_BIT):
        other = excerpt.with_input(name, (x * x.dtype.type(factor)).astype(x.dtype))
        if _fits_only(name, excerpt, other, witness, factor):
            return factor
    return None


def _fits_only(name: str, given: Excerpt, other: Excerpt, witness: Witness, factor: float) -> bool:
    for says in (_by_normalisation, _by_constants):
        decided = says(name, given, other, witness)
        if decided is not None:
            return decided
    x = given.feeds[name]
    largest = float(np.abs(x).max())
    forgotten = 0 < largest <= 1.001 if factor > 1 else largest > 2
    looks_like_pixels = channel_axis(x.shape) is not None or _is_eight_bit(x, factor)
    return forgotten and looks_like_pixels and _by_answers(given, other, witness, factor)


def finding(name: str, excerpt: Excerpt, factor: float) -> Finding:
    """Return what to say where values have to be multiplied by `factor`."""
    x = excerpt.feeds[name]
    option, times = ("--scale 255", "* 255.0") if factor > 1 else ("--scale 0.00392157", "/ 255.0")
    return Finding(
        "L-SCALE",
        f"{excerpt.name}, input {name}: values from {x.min():.4g} to {x.max():.4g}, and the model fits them only "
        f"as x {times}",
        f"give {option} (or leave out a --scale that did the reverse), or store them so: "
        f"numpy.savez('data.npz', {name}=x {times}, ...)",
    )


def between(name: str, calibration: Excerpt, evaluation: Excerpt) -> Finding | None:
    """Return whether one dataset is on another scale than the other: half, most and nearly all of the values are."""
    if not np.issubdtype(calibration.feeds[name].dtype, np.floating):
        return None
    ours, theirs = (np.quantile(np.abs(data.feeds[name]), _QUANTILES) for data in (calibration, evaluation))
    both = (ours > 0) & (theirs > 0)
    if both.sum() < 2 or len(calibration) < _FEWEST or len(evaluation) < _FEWEST:
        return None
    ratios = ours[both] / theirs[both]
    if not ((ratios > _RATIO).all() or (ratios < 1 / _RATIO).all()):
        return None
    ratio = float(np.median(ratios))
    larger, smaller, times = (calibration, evaluation, ratio) if ratio > 1 else (evaluation, calibration, 1 / ratio)
    pixels = abs(times / _EIGHT_BIT - 1) < 0.3
    divide = "255.0" if pixels else f"{times:.3g}"
    return Finding(
        "L-SCALE",
        f"input {name}: values of {larger.name} are {times:.3g} times as large as those of {smaller.name}",
        f"store both as the model was trained: numpy.savez('data.npz', {name}=x / {divide}, ...) for the larger, or "
        f"{name}=x * {divide} for the smaller; --scale acts on both",
    )


def _by_normalisation(name: str, given: Excerpt, other: Excerpt, witness: Witness) -> bool | None:
    exchanged = reversed_colours(other.feeds[name])  # colours in the wrong order must not hide the scale
    forms = [other] if exchanged is None else [other, other.with_input(name, exchanged)]
    misfits = witness.misfits(name, given, *forms)
    if misfits is None:
        return None
    before, after = misfits[0], min(misfits[1:])
    return before > 1.5 and after < 1 and after < before / 3


def _by_constants(name: str, given: Excerpt, other: Excerpt, witness: Witness) -> bool | None:
    """Compare spreads: normalised values that hardly vary, or far too much, where the other form varies by about 1."""
    before, after = witness.normalised(name, given), witness.normalised(name, other)
    if before is None or after is None:
        return None
    implausible = not 1 / 20 < before[1] < 20
    return bool(implausible and 0.15 < after[1] < 5 and abs(after[0]) < 3)


def _by_answers(given: Excerpt, other: Excerpt, witness: Witness, factor: float) -> bool:
    """Labels decide; without them, answers that are unsure and all alike (too small) or surer than sure (too large)."""
    before, after = witness.answers(given), witness.answers(other)
    if before is None or after is None or len(given) < _FEWEST:
        return False
    by_labels = answers.clearly_more_right(after, before)
    if by_labels is not None:
        return by_labels
    return _tells_more(after, before) and (
        before.information < 0.02 and before.entropy > 0.2 if factor > 1 else before.entropy < 0.05
    )


def _tells_more(other: Answers, given: Answers) -> bool:
    return other.information > 0.3 and other.information > 1.5 * given.information


def _is_eight_bit(x: Array, factor: float) -> bool:
    """Tell whether the values are 256 levels: on that scale, all whole numbers."""
    levels = x.astype(np.float64) * (factor if factor > 1 else 1)
    return bool(np.abs(levels - np.rint(levels)).max() < 1e-3)
