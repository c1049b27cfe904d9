"""Rewrites for speed: exact as all are, and kept only where a measurement on this machine shows that they pay.

Which of them pay depends on the machine: blocks of 16 channels are those of AVX-512, blocks of 8 those of AVX2. So none
is believed. Before and after are timed in 6 to 12 pairs of fresh sessions, as two sessions of one model differ by where
their memory lies (docs/benchmarks.md); each pair gives one median speed-up. A rewrite is kept where the median over the
pairs is above 1.01 and the low end of its 95 % interval above 0.98. These are lower bars than for a verdict in a report
(benchmarks.latency.verdict) on purpose: a rewrite that computes the same and is kept by mistake costs at most the
noise, several small gains add up, and the result is timed against the user's own model in the end. Where the first six
pairs agree, they are enough.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.latency import FEWEST_ROUNDS, Interval, Plan, compare, median_interval
from edge_runtime.inference.engine import Feeds
from edge_runtime.inference.ort import OrtEngine
from optimizer.simplify import (
    chain_pools,
    detector_tail,
    focus_stem,
    fold_scales,
    fold_shifts,
    hard_swish,
    merge_projections,
    nhwc_input,
    pad_channels,
    signals_as_images,
    split_concat,
    sum_residuals,
    turn_images,
)
from optimizer.simplify.chain import attempt, operators
from optimizer.simplify.steps import Progress, Rewrite, Simplified, Step
from optimizer.simplify.verify import Check

# Folding comes first, as it brings layers together; forms of the input come before what works on their result.
SPEED_REWRITES: tuple[tuple[str, Rewrite], ...] = (
    ("fold constant factors and terms into layers", lambda data: fold_shifts.apply(fold_scales.apply(data))),
    ("fold constant factors into layers", fold_scales.apply),  # where the terms would cost digits
    ("signals as images of one row", signals_as_images.apply),
    ("turn images that are higher than wide", turn_images.apply),
    ("read NHWC images as rows", nhwc_input.apply),
    ("convolve the image instead of its dealt pixels", focus_stem.apply),
    ("pad channels to blocks of 8", pad_channels.to_blocks_of_8),
    ("pad channels to blocks of 16", pad_channels.apply),
    ("chain pools", chain_pools.apply),
    ("sum convolutions instead of joining their inputs", split_concat.apply),
    ("transpose before joining", detector_tail.apply),
    ("hard-swish in two passes", hard_swish.apply),
    ("sum residuals before normalizing", sum_residuals.apply),
    ("merge products of one tensor", merge_projections.apply),
)

SMALLEST_SPEEDUP = 1.01
SMALLEST_LOW_END = 0.98
_SESSIONS = 12  # pairs of fresh sessions, at most
_PLAN = Plan(rounds=FEWEST_ROUNDS, slot_seconds=0.01, warmup_seconds=0.02)  # of each pair
_LONG_SECONDS = 0.2  # a call this long is steadier, and the fewest pairs that give an interval have to do


def speed_up(
    data: bytes,
    feeds: Feeds,
    plan: Plan | None = None,
    progress: Progress = lambda stage, done, total: None,
    rewrites: Sequence[tuple[str, Rewrite]] = SPEED_REWRITES,
) -> Simplified:
    """Apply each rewrite; keep it only if the outputs stay and the model is measured to be faster for it.

    Args:
        data: A float32 model, simplified.
        feeds: Samples it accepts. All are used to check outputs; the first alone is timed, where the batch is open.
        plan: How long to measure one pair of sessions, for each rewrite that changes something.
        progress: Called with (stage, rewrites done, rewrites in all).
        rewrites: Names and rewrites, in order. Those that find nothing to change are left out of the account.
    """
    check, given = Check.of(data, feeds), data
    sample = min(check.feeds, key=_elements)
    timer = _Timer(sample, plan or _PLAN, _sessions(data, sample))
    steps: list[Step] = []
    rejected: list[bytes] = []  # two rewrites may find the same and need not be timed twice
    for done, (name, rewrite) in enumerate(rewrites):
        progress("rewriting for speed", done, len(rewrites))
        candidate, problem = attempt(data, rewrite, check)
        if problem is not None:
            steps.append(Step(name, kept=False, note=problem))
        elif candidate != data and candidate not in rejected:
            speedup = timer.speedup(data, candidate)
            kept = pays(speedup)
            steps.append(Step(name, kept, f"{speedup.value:.2f} x{'' if kept else ', not faster'}", speedup))
            data = candidate if kept else data
            rejected += [] if kept else [candidate]
    progress("rewriting for speed", len(rewrites), len(rewrites))
    return Simplified(data, tuple(steps), operators(given), operators(data))


def pays(speedup: Interval) -> bool:
    """Tell whether a measured speed-up is worth keeping a rewrite for; the rule's reasons stand above."""
    return speedup.value > SMALLEST_SPEEDUP and speedup.low > SMALLEST_LOW_END


def _elements(feeds: Feeds) -> int:
    return sum(array.size for array in feeds.values())


def _sessions(data: bytes, sample: Feeds) -> int:
    engine = OrtEngine(data)
    engine.run(sample)
    start = time.perf_counter()
    engine.run(sample)
    return FEWEST_ROUNDS if time.perf_counter() - start > _LONG_SECONDS else _SESSIONS


@dataclass(frozen=True)
class _Timer:
    """Times pairs of models on one sample, in `sessions` pairs of fresh sessions."""

    sample: Feeds
    plan: Plan
    sessions: int

    def speedup(self, before: bytes, after: bytes) -> Interval:
        """Return the median over pairs of sessions of time before / time after, with its interval over the pairs."""
        medians: list[float] = []
        while len(medians) < self.sessions:
            medians.append(self._pair(before, after, self.plan.seed + len(medians)))
            agree = min(medians) > SMALLEST_SPEEDUP or max(medians) <= SMALLEST_SPEEDUP
            if agree and len(medians) >= FEWEST_ROUNDS:
                break
        return median_interval(np.array(medians))

    def _pair(self, before: bytes, after: bytes, seed: int) -> float:
        old, new = OrtEngine(before), OrtEngine(after)
        runs = [lambda: old.run(self.sample), lambda: new.run(self.sample)]
        return compare(runs, replace(self.plan, seed=seed)).speedups[1].value
