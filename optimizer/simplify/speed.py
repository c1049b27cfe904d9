"""Rewrites for speed: exact as all are, and kept only where they are seen to pay on the machine they are for.

Which of them pay depends on the machine: blocks of 16 channels are those of AVX-512, blocks of 8 those of AVX2. So none
is believed. A rewrite is kept where the median over pairs of fresh sessions is above 1.01 and the low end of its 95 %
interval above 0.98. These are lower bars than for a verdict in a report (benchmarks.latency.verdict) on purpose: a
rewrite that computes the same and is kept by mistake costs at most the noise, several small gains add up, and the
result is timed against the user's own model in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from benchmarks.latency import Interval
from edge_runtime.inference.engine import Feeds
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

Timer: TypeAlias = Callable[[bytes, bytes], Interval]


def speed_up(
    data: bytes,
    feeds: Feeds,
    timer: Timer,
    progress: Progress = lambda stage, done, total: None,
    rewrites: Sequence[tuple[str, Rewrite]] = SPEED_REWRITES,
    unit: str = "x",
) -> Simplified:
    """Apply each rewrite; keep it only if the outputs stay and the model is measured to be faster for it.

    Args:
        data: A float32 model, simplified.
        feeds: Samples it accepts; outputs are checked on all of them.
        timer: Returns time before / time after for two models, such as `fresh_sessions.FreshSessions.speedup`.
        progress: Called with (stage, rewrites done, rewrites in all).
        rewrites: Names and rewrites, in order. Those that find nothing to change are left out of the account.
        unit: What stands behind a speed-up in the account.
    """
    check, given = Check.of(data, feeds), data
    steps: list[Step] = []
    rejected: list[bytes] = []  # two rewrites may find the same and need not be timed twice
    for done, (name, rewrite) in enumerate(rewrites):
        progress("rewriting for speed", done, len(rewrites))
        candidate, problem = attempt(data, rewrite, check)
        if problem is not None:
            steps.append(Step(name, kept=False, note=problem))
        elif candidate != data and candidate not in rejected:
            speedup = timer(data, candidate)
            kept = pays(speedup)
            steps.append(Step(name, kept, f"{speedup.value:.2f} {unit}{'' if kept else ', not faster'}", speedup))
            data = candidate if kept else data
            rejected += [] if kept else [candidate]
    progress("rewriting for speed", len(rewrites), len(rewrites))
    return Simplified(data, tuple(steps), operators(given), operators(data))


def pays(speedup: Interval) -> bool:
    """Tell whether a measured speed-up is worth keeping a rewrite for; the rule's reasons stand above."""
    return speedup.value > SMALLEST_SPEEDUP and speedup.low > SMALLEST_LOW_END
