"""When the next attempt is made, and when another client is suspected."""

from __future__ import annotations

from edge_runtime.messaging.reconnects import Reconnects
from edge_runtime.messaging.wire import Loss

CLOSED = Loss("closed", by_peer=True)
SILENT = Loss("silent")


def test_pauses_double_up_to_the_longest_and_are_jittered() -> None:
    """Never shorter than the doubled base, never longer than the longest."""
    many = [Reconnects(60) for _ in range(50)]
    for base in (1, 2, 4, 8, 16, 32):
        pauses = [one.after_failure() for one in many]
        assert all(base <= pause <= min(2 * base, 60) for pause in pauses)
        assert len(set(pauses)) > 1
    assert {one.after_failure() for one in many} == {60}


def test_a_connection_that_was_steady_starts_the_pauses_over() -> None:
    """A flapping one does not."""
    one = Reconnects(60)
    for _ in range(5):
        one.after_failure()
    assert one.after_loss(SILENT, lived=0.5) >= 32
    assert one.after_loss(SILENT, lived=600) <= 2


def test_three_short_lives_in_a_row_mean_another_client() -> None:
    """From then on at most one attempt in ten seconds, until a connection has lived in peace."""
    one = Reconnects(1)
    for _ in range(2):
        assert one.after_loss(CLOSED, lived=3) <= 1
        assert not one.duplicate_client
    assert one.after_loss(CLOSED, lived=3) >= 10
    assert one.duplicate_client
    assert one.after_loss(CLOSED, lived=12) >= 10
    assert one.after_loss(CLOSED, lived=100) <= 1
    assert not one.duplicate_client


def test_a_broker_that_restarts_again_and_again_is_no_other_client() -> None:
    """It is away in between."""
    one = Reconnects(60)
    for _ in range(5):
        one.after_loss(CLOSED, lived=3)
        one.after_failure()
    assert not one.duplicate_client


def test_a_broker_that_is_gone_right_after_is_no_other_client() -> None:
    """It restarts, faster than we try again."""
    one = Reconnects(60)
    for _ in range(5):
        assert one.after_loss(CLOSED, lived=3, broker_is_there=False) <= 2
    assert not one.duplicate_client


def test_a_broker_that_turns_out_to_restart_is_forgiven() -> None:
    """Once suspected, one look that finds the broker gone, or one attempt that finds none, ends the suspicion."""
    for gone in (lambda one: one.after_loss(CLOSED, lived=3, broker_is_there=False), Reconnects.after_failure):
        one = Reconnects(60)
        for _ in range(4):
            one.after_loss(CLOSED, lived=3)
        assert one.duplicate_client
        assert gone(one) <= 60
        assert not one.duplicate_client


def test_silence_and_faults_are_no_other_client() -> None:
    """Only the broker's closing counts."""
    one = Reconnects(60)
    for _ in range(5):
        one.after_loss(SILENT, lived=3)
        one.after_loss(Loss("no MQTT", by_peer=True, kind="fault"), lived=3)
    assert not one.duplicate_client


def test_the_broker_s_own_word_is_enough() -> None:
    """MQTT 5 names the take-over."""
    one = Reconnects(1)
    assert one.after_loss(Loss("taken over", taken_over=True, by_peer=True), lived=1000) >= 10
    assert one.duplicate_client


def test_a_refusal_is_retried_slowly() -> None:
    """Trying at once would not change the broker's mind."""
    assert Reconnects(1).after_refusal() >= 10
