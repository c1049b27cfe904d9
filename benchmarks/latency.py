"""Interleaved timing: every candidate meets the same minutes of the machine, so their ratio outlives its noise.

Timing one model after the other measures the machine's load as much as the models: the same pair came out 1.5 times
apart sequentially and 4.4 times interleaved. Here each round gives every run one slot of a few calls, in a shuffled
order, and the speed-up is the median over rounds of the ratios inside a round.
"""

from __future__ import annotations

import contextlib
import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Run = Callable[[], object]
Clock = Callable[[], int]

CONFIDENCE = 0.95
# Two sessions of one and the same model differ by up to this share: their memory lies differently (docs/benchmarks.md).
SAME_MODEL_SPREAD = 0.05
FEWEST_ROUNDS = 6  # with fewer, not even the lowest and the highest round enclose the median with 95 % confidence


@dataclass(frozen=True)
class Plan:
    """How long and how often to measure.

    Attributes:
        rounds: Slots per run, at least 6.
        slot_seconds: Aimed length of a slot; a run that takes longer gets one call per slot.
        warmup_seconds: How long every run is called beforehand: caches filled, calls per slot found out.
        seed: Seed of the order of the runs in each round.
    """

    rounds: int = 15
    slot_seconds: float = 0.02
    warmup_seconds: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rounds < FEWEST_ROUNDS:
            raise ValueError(f"{self.rounds} rounds give no 95 % interval; {FEWEST_ROUNDS} is the least")


@dataclass(frozen=True)
class Interval:
    """A median and the 95 % confidence interval around it."""

    value: float
    low: float
    high: float

    def __contains__(self, number: float) -> bool:
        return self.low <= number <= self.high


@dataclass(frozen=True)
class Comparison:
    """What an interleaved measurement found, in the order of the runs.

    Attributes:
        timings: Milliseconds per call.
        speedups: Time of the first run / time of this one, within rounds; above 1 is faster than the first.
            The first run is the reference: exactly 1.
    """

    timings: tuple[Interval, ...]
    speedups: tuple[Interval, ...]


def compare(
    runs: Sequence[Run],
    plan: Plan | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
    clock: Clock = time.perf_counter_ns,
) -> Comparison:
    """Time the runs against each other, interleaved; the first is the reference.

    Args:
        runs: Each call is one inference; the calls' results are dropped.
        plan: How long to measure.
        progress: Called with (rounds done, rounds in all) after every round, outside the timed slots.
        clock: Nanoseconds that never go back.
    """
    plan = plan or Plan()
    calls = [_warm_up(run, plan, clock) for run in runs]
    order = np.random.default_rng(plan.seed)
    nanoseconds = np.empty((plan.rounds, len(runs)))
    for done in range(plan.rounds):
        for index in order.permutation(len(runs)):
            nanoseconds[done, index] = _slot(runs[index], calls[index], clock)
        if progress:
            progress(done + 1, plan.rounds)
    reference = nanoseconds[:, 0]
    return Comparison(
        timings=tuple(median_interval(column / 1e6) for column in nanoseconds.T),
        speedups=tuple(median_interval(reference / column) for column in nanoseconds.T),
    )


def clock_for(threads: int) -> Clock:
    """Return the clock that tells models with so many threads apart best.

    A model with one thread works in the thread that calls it: that thread's processor time is its latency on a core of
    its own, without the time it waited for a core that something else had (docs/benchmarks.md).
    """
    return time.thread_time_ns if threads == 1 else time.perf_counter_ns


def verdict(speedup: Interval) -> Literal["faster", "slower", "no difference shown"]:
    """Say in words what a speed-up shows; a difference that two copies of one model can have shows nothing."""
    if speedup.low > 1.0 and speedup.value > 1.0 + SAME_MODEL_SPREAD:
        return "faster"
    if speedup.high < 1.0 and speedup.value < 1.0 / (1.0 + SAME_MODEL_SPREAD):
        return "slower"
    return "no difference shown"


def median_interval(samples: NDArray[np.float64]) -> Interval:
    """Return the median of samples (at least 6) and its distribution-free 95 % interval.

    The interval runs from the k-th smallest to the k-th largest sample, with the largest k for which
    P(Binomial(n, 1/2) < k) <= 2.5 %: no assumption on the shape of timing noise. See J.-Y. Le Boudec, "Performance
    Evaluation of Computer and Communication Systems", EPFL Press 2010, theorem 2.1.
    """
    ordered = np.sort(samples)
    rank = _rank(len(ordered))
    return Interval(float(np.median(ordered)), float(ordered[rank - 1]), float(ordered[-rank]))


def _rank(samples: int) -> int:
    """Return k, counted from 1; 0 where there are too few samples for any."""
    below, rank = 0, 0
    while True:
        below += math.comb(samples, rank)
        if below / 2**samples > (1 - CONFIDENCE) / 2:
            return rank
        rank += 1


def _warm_up(run: Run, plan: Plan, clock: Clock) -> int:
    """Call the run for a while and return how many calls fill a slot.

    The median decides: a processor-time clock may stand still between two readings, and by the fastest call, of no time
    at all, a slot would hold millions of calls.
    """
    begin = clock()
    taken = [_slot(run, 1, clock)]
    while clock() - begin < plan.warmup_seconds * 1e9:
        taken.append(_slot(run, 1, clock))
    return max(1, round(plan.slot_seconds * 1e9 / max(float(np.median(taken)), 1.0)))


def _slot(run: Run, calls: int, clock: Clock) -> float:
    """Return nanoseconds per call."""
    with _garbage_collection_paused():
        begin = clock()
        for _ in range(calls):
            run()
        return (clock() - begin) / calls


@contextlib.contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    """Keep a collection that one run's garbage sets off from being charged to another."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
