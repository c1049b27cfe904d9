"""All checks, each on what the one before found: a layout to repair hides the scale, and the scale the colours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from optimizer.data import Dataset
from optimizer.lint import channel_order, layout, rows, scale
from optimizer.lint.excerpt import Excerpt, take
from optimizer.lint.finding import Finding
from optimizer.lint.witness import Witness


def lint(data: bytes, calibration: Dataset | None, evaluation: Dataset | None) -> tuple[Finding, ...]:
    """Return what is probably wrong with the data, the worst first; nothing where nothing is clear.

    Args:
        data: The float32 model as the user gave it; simplified, it has lost its statistics.
        calibration: Samples for ranges.
        evaluation: Samples for the metric. The same object as `calibration` counts once.

    Every sample is read once, for its hash; statistics are made from at most 256 samples of each dataset.

    Raises:
        BadInput: E-MODEL-LOAD or E-INFERENCE, the model does not run on the data.
    """
    given = {"calibration": calibration, "evaluation": None if evaluation is calibration else evaluation}
    datasets = {role: dataset for role, dataset in given.items() if dataset is not None}
    read = {role: rows.read(role, dataset) for role, dataset in datasets.items()}
    found = [finding for each in read.values() for finding in rows.about_each(each)]
    if all(each.finite.all() for each in read.values()):
        found = [*_about_values(data, datasets), *found]
    if len(read) > 1:
        found += _present(rows.about_both(read["calibration"], read["evaluation"]))
    if calibration is not None:
        found += _present(rows.few(calibration))
    return tuple(found)


def _about_values(data: bytes, datasets: dict[str, Dataset]) -> Iterator[Finding]:
    witness = Witness(data)
    excerpts = {role: take(role, dataset) for role, dataset in datasets.items()}
    for excerpt in excerpts.values():
        yield from _about_outputs(excerpt, witness)
    for name in next(iter(excerpts.values())).feeds if excerpts else ():
        about = [_about_input(name, excerpt, witness) for excerpt in excerpts.values()]
        yield from (finding for each in about for finding in each.findings)
        if len(about) == 2:
            # Each as repaired: where the model has said which of the two is wrong, their difference is no news.
            yield from _present(scale.between(name, about[0].repaired, about[1].repaired))
            if all(each.colours_unknown for each in about):
                yield from _present(channel_order.between(name, about[0].repaired, about[1].repaired))


@dataclass(frozen=True)
class _About:
    """What was found of one input of one dataset, the samples without that, and whether the model is colour-blind."""

    findings: list[Finding]
    repaired: Excerpt
    colours_unknown: bool


def _about_input(name: str, excerpt: Excerpt, witness: Witness) -> _About:
    found = []
    moved = layout.repaired(excerpt.feeds[name])
    if moved is not None:
        found.append(layout.finding(name, excerpt))
        excerpt = excerpt.with_input(name, moved)
    factor = scale.factor_for(name, excerpt, witness)
    if factor is not None:
        found.append(scale.finding(name, excerpt, factor))
        x = excerpt.feeds[name]
        excerpt = excerpt.with_input(name, (x * x.dtype.type(factor)).astype(x.dtype))
    is_reversed = channel_order.is_reversed(name, excerpt, witness)
    if is_reversed:
        found.append(channel_order.finding(name, excerpt))
    return _About(found, excerpt, is_reversed is None)


def _about_outputs(excerpt: Excerpt, witness: Witness) -> Iterator[Finding]:
    floats = {k: v for k, v in witness.outputs(excerpt).items() if np.issubdtype(v.dtype, np.floating)}
    odd = [name for name, values in floats.items() if np.isnan(values).any()]
    if odd:
        yield Finding(
            "L-NOT-FINITE",
            f"{excerpt.name}: the samples are finite, and the model computes NaN in {odd[0]}",
            "check the scale of the values against the training data: --scale, --mean and --std bring them there",
        )


def _present(finding: Finding | None) -> list[Finding]:
    return [finding] if finding is not None else []
