"""Times two models that hardly differ: in many pairs of fresh sessions, as two sessions of one model differ as well.

Where memory lies differs from session to session and makes up to 2.4 % (docs/benchmarks.md). Each pair gives one median
speed-up; what is told is their median with its interval. Where the first six pairs agree, they are enough.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.latency import FEWEST_ROUNDS, Interval, Plan, clock_for, compare, median_interval
from edge_runtime.inference.engine import Feeds
from edge_runtime.inference.ort import OrtEngine, SessionSettings

_SESSIONS = 12  # pairs, at most
_LONG_SECONDS = 0.2  # a call this long is steadier, and the fewest pairs that give an interval have to do


@dataclass(frozen=True)
class FreshSessions:
    """Times pairs of models.

    Attributes:
        sample: What both are fed.
        threshold: A speed-up that matters: pairs agree where all lie above it, or none.
        settings: How sessions are made.
        plan: How long to measure one pair.
    """

    sample: Feeds
    threshold: float
    settings: SessionSettings = field(default_factory=SessionSettings)
    plan: Plan = field(default_factory=lambda: Plan(rounds=FEWEST_ROUNDS, slot_seconds=0.01, warmup_seconds=0.02))

    def speedup(self, before: bytes, after: bytes) -> Interval:
        """Return the median over pairs of sessions of time before / time after, with its interval over the pairs."""
        medians: list[float] = []
        sessions = self._sessions(before)
        while len(medians) < sessions:
            medians.append(self._pair(before, after, self.plan.seed + len(medians)))
            agree = min(medians) > self.threshold or max(medians) <= self.threshold
            if agree and len(medians) >= FEWEST_ROUNDS:
                break
        return median_interval(np.array(medians))

    def _pair(self, before: bytes, after: bytes, seed: int) -> float:
        old, new = OrtEngine(before, self.settings), OrtEngine(after, self.settings)
        runs = [lambda: old.run(self.sample), lambda: new.run(self.sample)]
        clock = clock_for(self.settings.threads)
        return compare(runs, replace(self.plan, seed=seed), clock=clock).speedups[1].value

    def _sessions(self, data: bytes) -> int:
        engine = OrtEngine(data, self.settings)
        engine.run(self.sample)
        start = time.perf_counter()
        engine.run(self.sample)
        return FEWEST_ROUNDS if time.perf_counter() - start > _LONG_SECONDS else _SESSIONS
