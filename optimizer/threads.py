"""How many threads a model is served with: one, unless more are measured to be worth their cores."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks.latency import Plan
from optimizer.candidates import Candidate
from optimizer.stopwatch import Stopwatch

# A second core must bring at least this much: it is a core that everything else on the device no longer has.
_WORTH_DOUBLING = 1.3


def counts(cores: int) -> list[int]:
    """Return the thread counts to try on so many cores: powers of two, and all cores."""
    powers = itertools.takewhile(lambda count: count < cores, (2**power for power in itertools.count()))
    return [*powers, cores]


def tuned(
    pair: tuple[Candidate, Candidate],
    stopwatch: Stopwatch,
    cores: int,
    plan: Plan,
    progress: Callable[[int, int], None],
) -> Candidate:
    """Return a form with the thread count that is worth its cores.

    Args:
        pair: The reference, with its own count, and the form.
        stopwatch: Times them.
        cores: Of the machine that is timed.
        plan: How long to measure.
        progress: Called with (rounds done, rounds in all).
    """
    reference, form = pair
    settings = [replace(form.settings, threads=count) for count in counts(cores)]
    tried = [replace(form, settings=one, name=f"{form.name} on {one.threads} threads") for one in settings]
    _, *timed = stopwatch.timed([replace(reference, name="reference"), *tried], plan, progress)
    return replace(best(timed), name=form.name)


def best(timed: Sequence[Candidate]) -> Candidate:
    """Return the form with the most threads of which every doubling was worth it; forms come by rising count."""
    chosen = timed[0]
    for one in timed[1:]:
        doublings = one.settings.threads / chosen.settings.threads / 2
        if one.speed >= chosen.speed * _WORTH_DOUBLING * max(doublings, 1.0):
            chosen = one
    return chosen
