"""Thousands of random schedules of one outbox: nothing is lost unsaid, and the account is exact after every step."""

from __future__ import annotations

from typing import Literal

import pytest
from simulation import World

from edge_runtime.messaging.outbox.settings import DiskOptions

SCHEDULES = 250
STEPS = 60


@pytest.mark.parametrize("bound", [1 << 30, 40_000], ids=["roomy", "tight"])
@pytest.mark.parametrize("when_full", ["drop_oldest", "reject_new", "decimate"])
@pytest.mark.parametrize("replay", ["live_first", "in_order"])
@pytest.mark.parametrize("mode", ["broker", "end_to_end"])
def test_nothing_is_lost_unsaid_whatever_happens(
    mode: Literal["broker", "end_to_end"],
    replay: Literal["live_first", "in_order"],
    when_full: Literal["drop_oldest", "reject_new", "decimate"],
    bound: int,
) -> None:
    """Puts, takes, acknowledgements, commits, failing disks, crashes and forgetful brokers in any order."""
    options = DiskOptions(mode=mode, replay=replay, when_full=when_full, bound=bound)
    for seed in range(SCHEDULES):
        world = World(seed, options)
        try:
            for _ in range(STEPS):
                world.act()
            world.finish()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
