"""When messages come so fast that it pays to let some gather."""

from __future__ import annotations

import pytest

from edge_runtime.messaging.pace import BUSY_RATE, Pace


@pytest.mark.parametrize(
    ("rate", "busy"), [(100, False), (0.9 * BUSY_RATE, False), (1.1 * BUSY_RATE, True), (50_000, True)]
)
@pytest.mark.parametrize("at_once", [1, 7])
def test_only_a_high_rate_is_busy(rate: float, busy: bool, at_once: int) -> None:
    """However many messages come in one read, it is their rate that counts."""
    pace, now = Pace(), 1000.0
    for _ in range(2000):
        now += at_once / rate
        pace.count(at_once, now)
    assert pace.is_busy == busy


def test_after_a_burst_and_silence_nothing_is_held_up() -> None:
    """The first message after a pause shows that the load is gone."""
    pace = Pace()
    for number in range(1000):
        pace.count(10, number / 1000)
    assert pace.is_busy
    pace.count(1, 10.0)
    assert not pace.is_busy
