"""Options of delivery: what is promised for a pipeline's predictions, and where they wait; docs/delivery.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from edge_runtime.config_problems import Key, Problem
from edge_runtime.messaging.outbox.contract import Delivery
from edge_runtime.option_types import Duration, Size, seconds, size_in_bytes

Replay: TypeAlias = Literal["live_first", "in_order"]
WhenFull: TypeAlias = Literal["drop_oldest", "reject_new", "decimate"]
Rate: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000, description="a whole number from 0 to 1000000")]

SMALLEST_SHARE = 1 << 20


class DeliveryConfig(Struct, frozen=True):
    """What is promised for one pipeline's predictions.

    Attributes:
        mode: ``best_effort``, ``broker`` or ``end_to_end``.
        replay: Whether live predictions overtake those that had to wait.
        replay_rate: Most waiting predictions sent per second beside live ones; 0: ten times the live rate, at least
            500.
        when_full: What gives way when the disk share is full.
        resend_after: How long ``end_to_end`` waits for the subscriber before it sends again.
    """

    mode: Delivery = "broker"
    replay: Replay = "live_first"
    replay_rate: Rate = 0
    when_full: WhenFull = "drop_oldest"
    resend_after: Duration = "30s"


class OutboxConfig(Struct, frozen=True):
    """The file in which predictions wait.

    Attributes:
        bound: Most bytes of waiting predictions on disk, shared evenly by the pipelines that store.
        commit_after: How long a prediction may be in memory only.
    """

    bound: Size = "256MiB"
    commit_after: Duration = "50ms"


def delivery_problems(outbox: OutboxConfig, deliveries: Iterable[DeliveryConfig]) -> Iterator[Problem]:
    """Yield what single values do not show; `deliveries` are those of the pipelines, in their order."""
    storing = 0
    for index, delivery in enumerate(deliveries):
        storing += delivery.mode != "best_effort"
        yield from _in_range(("pipeline", index, "delivery", "resend_after"), delivery.resend_after, "1s", "24h")
    yield from _in_range(("outbox", "commit_after"), outbox.commit_after, "1ms", "10s")
    if size_in_bytes(outbox.bound) < SMALLEST_SHARE * storing:
        message = f'outbox.bound = "{outbox.bound}" is less than 1MiB for each of {storing} pipelines that store'
        yield Problem("E-CONFIG-VALUE", ("outbox", "bound"), message, f'write at least bound = "{storing}MiB"')


def _in_range(key: Key, found: str, low: str, high: str) -> Iterator[Problem]:
    if not seconds(low) <= seconds(found) <= seconds(high):
        name = ".".join(str(part) for part in key if isinstance(part, str))
        fix = f'write a duration from "{low}" to "{high}"'
        yield Problem("E-CONFIG-VALUE", key, f'{name} = "{found}" is out of range', fix)
