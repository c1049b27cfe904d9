"""How many threads: one more core must be worth it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benches import QUICK, original_of, stopwatch_for
from models import images, residual_convnet

from benchmarks.latency import Interval
from optimizer.threads import best, counts, tuned

OWN = original_of(residual_convnet().SerializeToString())


@pytest.mark.parametrize(("cores", "expected"), [(1, [1]), (2, [1, 2]), (4, [1, 2, 4]), (6, [1, 2, 4, 6])])
def test_counts_are_powers_of_two_and_all_cores(cores: int, expected: list[int]) -> None:
    """Every count is one the machine has."""
    assert counts(cores) == expected


@pytest.mark.parametrize(
    ("speeds", "expected"),
    [((1.0, 1.2), 1), ((1.0, 1.9), 2), ((1.0, 1.9, 2.0), 2), ((1.0, 1.2, 3.0), 4), ((1.0, 0.5, 0.4), 1)],
)
def test_a_doubling_must_be_worth_a_core(speeds: tuple[float, ...], expected: int) -> None:
    """More threads are taken for at least 1.3 x per doubling, and for nothing less."""
    timed = [
        replace(OWN, settings=replace(OWN.settings, threads=2**power), speedup=Interval(speed, speed, speed))
        for power, speed in enumerate(speeds)
    ]
    assert best(timed).settings.threads == expected


def test_the_form_keeps_its_name_and_gets_its_time() -> None:
    """What comes back is the same form, with a thread count and a speed-up over the reference."""
    form = tuned((OWN, OWN), stopwatch_for(images(1)), 2, QUICK, lambda done, total: None)
    assert form.name == "fp32"
    assert form.speedup is not None
    assert form.settings.threads >= 1
