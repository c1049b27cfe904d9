"""Several engines on the same samples, timed in turn, for the choice at the start of a daemon."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median

from edge_runtime.inference.engine import Engine, Feeds

_MOST_ROUNDS = 1000


def medians(engines: Sequence[Engine], feeds: Feeds, seconds: float) -> list[float]:
    """Return each engine's median time for one batch, in milliseconds.

    Every round runs each engine once, so that whatever slows the machine down meets all of them alike. The first round
    warms up and does not count, unless the time is up after it.

    Args:
        engines: What to time.
        feeds: The batch.
        seconds: About how long all of it may take; at least one round is run.
    """
    end = time.perf_counter() + seconds
    rounds: list[list[float]] = []
    while len(rounds) < _MOST_ROUNDS:
        rounds.append([_milliseconds(engine, feeds) for engine in engines])
        if time.perf_counter() >= end:
            break
    counted = rounds[1:] or rounds
    return [median(times) for times in zip(*counted, strict=True)]


def _milliseconds(engine: Engine, feeds: Feeds) -> float:
    begin = time.perf_counter()
    engine.run(feeds)
    return (time.perf_counter() - begin) * 1e3
