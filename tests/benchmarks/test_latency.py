"""Interleaved timing, on a clock that only the runs move."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from benchmarks.latency import Interval, Plan, compare, median_interval, verdict

MILLISECOND = 1_000_000


class FakeMachine:
    """A clock and runs that advance it: each call of a run costs the next of its given nanoseconds."""

    def __init__(self) -> None:
        self.now = 0
        self.log: list[str] = []

    def clock(self) -> int:
        """Return the nanoseconds spent so far."""
        return self.now

    def run(self, name: str, costs: Iterator[int]) -> Callable[[], None]:
        """Return a run that takes the next cost per call."""

        def call() -> None:
            self.log.append(name)
            self.now += next(costs)

        return call


@pytest.fixture
def machine() -> FakeMachine:
    """Return a machine on which nothing has run yet."""
    return FakeMachine()


def noisy(seed: int, milliseconds: float) -> Iterator[int]:
    """Yield costs with the long upper tail that real timings have."""
    generator = np.random.default_rng(seed)
    while True:
        yield int(milliseconds * MILLISECOND * (1 + generator.exponential(0.2)))


def test_a_run_twice_as_fast_gets_a_speedup_of_two(machine: FakeMachine) -> None:
    """Constant costs give their exact ratio, without spread."""
    slow = machine.run("slow", itertools.repeat(4 * MILLISECOND))
    fast = machine.run("fast", itertools.repeat(2 * MILLISECOND))
    result = compare([slow, fast], clock=machine.clock)
    assert result.timings == (Interval(4, 4, 4), Interval(2, 2, 2))
    assert result.speedups == (Interval(1, 1, 1), Interval(2, 2, 2))


def test_identical_runs_show_no_difference(machine: FakeMachine) -> None:
    """Two runs with the same noise get an interval that contains 1."""
    runs = [machine.run("a", noisy(1, 3.0)), machine.run("b", noisy(2, 3.0))]
    result = compare(runs, clock=machine.clock)
    assert 1.0 in result.speedups[1]
    assert result.speedups[1].low < 1.0 < result.speedups[1].high


def test_a_load_that_comes_and_goes_does_not_change_the_ratio(machine: FakeMachine) -> None:
    """A machine that slows down tenfold halfway slows both runs alike: the speed-up stays 2."""

    def loaded(milliseconds: int) -> Iterator[int]:
        while True:
            yield milliseconds * MILLISECOND * (10 if len(machine.log) > 100 else 1)

    runs = [machine.run("slow", loaded(20)), machine.run("fast", loaded(10))]
    result = compare(runs, Plan(rounds=61, warmup_seconds=0.02), clock=machine.clock)
    assert result.speedups[1].value == pytest.approx(2.0)
    assert result.speedups[1].low == pytest.approx(2.0)


def test_slots_are_filled_with_as_many_calls_as_fit(machine: FakeMachine) -> None:
    """A 1 ms run gets 20 calls in a 20 ms slot and a 50 ms run gets one, in every round."""
    runs = [machine.run("s", itertools.repeat(MILLISECOND)), machine.run("l", itertools.repeat(50 * MILLISECOND))]
    compare(runs, Plan(rounds=6, slot_seconds=0.02, warmup_seconds=0.0), clock=machine.clock)
    warm_up = 1
    assert machine.log.count("s") == warm_up + 6 * 20
    assert machine.log.count("l") == warm_up + 6 * 1


def test_a_clock_that_stood_still_once_does_not_make_slots_endless(machine: FakeMachine) -> None:
    """A processor-time clock may show no time at all for one call: the others say how many fill a slot."""
    costs = itertools.chain([MILLISECOND] * 3, [0], itertools.repeat(MILLISECOND))
    run = machine.run("a", costs)
    compare([run], Plan(rounds=6, slot_seconds=0.02, warmup_seconds=0.02), clock=machine.clock)
    assert len(machine.log) == 21 + 6 * 20


def test_warm_up_calls_every_run_for_its_time_and_is_not_counted(machine: FakeMachine) -> None:
    """A slow first call (lazy allocation) changes neither the timing nor the calls per slot."""
    first_slow = itertools.chain([900 * MILLISECOND], itertools.repeat(10 * MILLISECOND))
    run = machine.run("r", first_slow)
    result = compare([run], Plan(rounds=6, warmup_seconds=1.0), clock=machine.clock)
    assert machine.log.count("r") == 1 + 10 + 6 * 2
    assert result.timings[0] == Interval(10, 10, 10)


def test_no_run_always_comes_first(machine: FakeMachine) -> None:
    """Over the rounds every run stands at every position, and the same seed gives the same order."""

    def order(seed: int) -> list[str]:
        fresh = FakeMachine()
        runs = [fresh.run(name, itertools.repeat(20 * MILLISECOND)) for name in "abc"]
        compare(runs, Plan(rounds=30, warmup_seconds=0.0, seed=seed), clock=fresh.clock)
        return fresh.log[3:]

    rounds = np.array(order(5)).reshape(30, 3)
    assert all(set(rounds[:, position]) == {"a", "b", "c"} for position in range(3))
    assert all(set(names) == {"a", "b", "c"} for names in rounds)
    assert order(5) == order(5) != order(6)


def test_garbage_collection_is_off_only_inside_slots() -> None:
    """The collector pauses while a run is timed and is as it was afterwards, also when the run fails."""
    seen: list[bool] = []
    compare([lambda: seen.append(gc.isenabled())], Plan(rounds=6, slot_seconds=0, warmup_seconds=0))
    assert seen
    assert not any(seen)
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        compare([lambda: 1 // 0])
    assert gc.isenabled()


def test_progress_is_told_after_every_round(machine: FakeMachine) -> None:
    """The callback counts up to the number of rounds."""
    told: list[tuple[int, int]] = []
    run = machine.run("r", itertools.repeat(MILLISECOND))
    compare([run], Plan(rounds=7), clock=machine.clock, progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 7) for done in range(1, 8)]


def test_too_few_rounds_are_refused() -> None:
    """Five rounds cannot give a 95 % interval of a median; six can."""
    with pytest.raises(ValueError, match="5 rounds"):
        Plan(rounds=5)
    assert Plan(rounds=6).rounds == 6


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        (Interval(1.0, 1.0, 1.0), "no difference shown"),
        (Interval(1.5, 1.4, 1.6), "faster"),
        (Interval(0.5, 0.4, 0.6), "slower"),
        (Interval(1.5, 0.9, 2.0), "no difference shown"),
        (Interval(0.5, 0.4, 1.1), "no difference shown"),
        (Interval(1.03, 1.02, 1.04), "no difference shown"),
        (Interval(0.97, 0.96, 0.98), "no difference shown"),
        (Interval(1.06, 1.01, 1.10), "faster"),
        (Interval(0.94, 0.90, 0.99), "slower"),
    ],
)
def test_a_verdict_needs_an_interval_without_1_and_a_difference_beyond_that_of_copies(
    interval: Interval, words: str
) -> None:
    """Either alone shows nothing: a wide interval may be chance, 3 % may be where the memory lies."""
    assert verdict(interval) == words


@pytest.mark.parametrize(("samples", "rank"), [(6, 1), (8, 1), (9, 2), (15, 4), (20, 6), (100, 40)])
def test_ranks_are_those_of_the_published_table(samples: int, rank: int) -> None:
    """The interval's ranks agree with the table in Le Boudec's book (n = 6 … 100)."""
    interval = median_interval(np.arange(1.0, samples + 1))
    assert (interval.low, interval.high) == (rank, samples + 1 - rank)


def test_the_interval_covers_the_true_median_as_often_as_it_says() -> None:
    """On skewed noise, at least 95 % of 2000 intervals contain the median of the distribution."""
    generator = np.random.default_rng(7)
    hits = sum(np.log(2) in median_interval(generator.exponential(1.0, 15)) for _ in range(2000))
    assert 0.95 <= hits / 2000 <= 0.98
