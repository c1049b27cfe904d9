"""A message that the broker delivers again is recognised, however many others lie between."""

from __future__ import annotations

from msgspec.structs import replace

from edge_runtime.messaging.message import Message
from edge_runtime.sources.mqtt import RedeliveryGuard

EVERY_IDENTIFIER = range(1, 1 << 16)


def message(identifier: int, payload: bytes = b"{}", *, dup: bool = False) -> Message:
    """Return a QoS 1 message."""
    return Message("sensors/a", payload, qos=1, retain=False, dup=dup, mid=identifier)


def test_as_many_as_can_be_in_flight_are_recognised() -> None:
    """A broker without a limit may hold one message for every packet identifier, and repeat them all."""
    guard = RedeliveryGuard()
    assert not any(guard.is_repeat(message(identifier)) for identifier in EVERY_IDENTIFIER)
    assert all(guard.is_repeat(message(identifier, dup=True)) for identifier in EVERY_IDENTIFIER)


def test_what_only_looks_like_a_repeat_is_used() -> None:
    """The flag alone, the content alone, do not make a repeat."""
    guard = RedeliveryGuard()
    assert not guard.is_repeat(message(7, dup=True))  # sent before, but lost on its way
    assert not guard.is_repeat(message(7))  # the same numbers again, as a sensor at rest sends them
    assert not guard.is_repeat(message(7, b"[]", dup=True))  # another message with a used identifier
    assert not guard.is_repeat(replace(message(7, b"[]", dup=True), topic="sensors/b"))
