"""How many threads a model is served with: one, unless more are measured to be worth their cores."""

from __future__ import annotations

import itertools
import os
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
    form: Candidate, reference: Candidate, stopwatch: Stopwatch, plan: Plan, progress: Callable[[int, int], None]
) -> Candidate:
    """Return the form with the thread count that is worth its cores, timed against the reference with its own count."""
    settings = [replace(form.settings, threads=count) for count in counts(os.cpu_count() or 1)]
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
