"""Growth of counts over the last minute."""

from __future__ import annotations

from edge_runtime.monitoring.rates import RecentGrowth


def test_a_rate_is_of_the_last_minute() -> None:
    """What came before leaves the window; looking often changes nothing."""
    growth = RecentGrowth(0.0)
    assert growth.look(0.5, 10) == (10, None)
    for tick in range(1, 1200):
        grown, rate = growth.look(tick / 10, tick)
    assert 590 <= grown <= 620
    assert rate is not None
    assert 9.9 < rate < 10.1
    for tick in range(1200, 1900):
        grown, rate = growth.look(tick / 10, 1199)
    assert (grown, rate) == (0, 0.0)


def test_who_looks_rarely_sees_what_happened_in_between() -> None:
    """An hour between two looks is the window, so that no loss is overlooked."""
    growth = RecentGrowth(0.0)
    growth.look(10.0, 100)
    growth.look(20.0, 100)
    assert growth.look(3620.0, 3700)[0] == 3600


def test_memory_stays_the_same() -> None:
    """A thousand looks a second for an hour keep about a minute's worth of them."""
    growth = RecentGrowth(0.0)
    for tick in range(100_000):
        growth.look(tick / 100, tick)
    assert len(growth._looks) <= 62
