"""Options of delivery that do not fit together."""

from __future__ import annotations

from edge_runtime.delivery_options import DeliveryConfig, OutboxConfig, delivery_problems


def test_the_defaults_are_sound() -> None:
    """Up to 256 pipelines that store have 1 MiB each."""
    assert list(delivery_problems(OutboxConfig(), [DeliveryConfig()] * 256)) == []
    assert [problem.key for problem in delivery_problems(OutboxConfig(), [DeliveryConfig()] * 257)] == [
        ("outbox", "bound")
    ]


def test_only_pipelines_that_store_share_the_bound() -> None:
    """A best_effort pipeline takes nothing of it."""
    both = [DeliveryConfig(mode="best_effort"), DeliveryConfig()]
    assert list(delivery_problems(OutboxConfig(bound="1MiB"), both)) == []


def test_durations_have_their_range() -> None:
    """A commit every hour, or a subscriber asked again a thousand times a second, is a slip of the pen."""
    found = list(delivery_problems(OutboxConfig(commit_after="1h"), [DeliveryConfig(resend_after="1ms")]))
    assert [problem.key for problem in found] == [
        ("pipeline", 0, "delivery", "resend_after"),
        ("outbox", "commit_after"),
    ]
    assert all("write a duration from" in problem.fix for problem in found)
