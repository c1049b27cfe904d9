"""Signs of life of threads."""

from __future__ import annotations

import time

from edge_runtime.monitoring.pulse import Pulses


def test_only_who_is_at_work_and_silent_hangs() -> None:
    """Waiting for work is no hang, however long; work without movement is one, until it moves."""
    pulses = Pulses(limit=10.0)
    resting, working = pulses.add("resting"), pulses.add("working")
    resting.moved()
    resting.rests()
    working.moved()
    now = time.monotonic()
    assert pulses.hung(now + 9.0) == ()
    assert pulses.hung(now + 11.0) == ("working",)
    working.rests()
    assert pulses.hung(now + 1e6) == ()


def test_a_thread_that_counts_its_turns_hangs_when_it_no_longer_does() -> None:
    """Each look wakes it; a thread that need not turn at present is not suspected, nor for that time later."""
    count: list[int | None] = [1]
    pulses = Pulses(limit=10.0)
    pulses.watch("network", lambda: count[0])
    assert pulses.hung(0.0) == ()
    assert pulses.hung(9.0) == ()
    assert pulses.hung(11.0) == ("network",)
    count[0] = 2
    assert pulses.hung(12.0) == ()
    count[0] = None
    assert pulses.hung(1e6) == ()
    count[0] = 2
    assert pulses.hung(1e6 + 5.0) == ()
