"""Percentiles of recent latencies."""

from __future__ import annotations

from edge_runtime.monitoring.latency import RecentLatency


def test_nothing_measured_is_not_zero() -> None:
    """Before the first prediction there is no latency."""
    assert RecentLatency().percentiles() is None


def test_percentiles_of_what_came_last() -> None:
    """Old values leave; memory stays the same."""
    latency = RecentLatency()
    for _ in range(5000):
        latency.add(1000.0)
    for value in range(1024):
        latency.add(float(value))
    assert latency.percentiles() == (511.5, 1012.77)
