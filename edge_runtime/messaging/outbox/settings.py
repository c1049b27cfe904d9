"""How one pipeline's outbox on disk behaves, and how it calls the disk thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edge_runtime.delivery_options import Replay, WhenFull


@dataclass(frozen=True)
class DiskOptions:
    """How one pipeline's outbox behaves; see `delivery_options`.

    Attributes:
        mode: What settles an entry: the broker's acknowledgement or the subscriber's.
        replay: Which lane goes first.
        replay_rate: Backlog entries per second beside live ones; 0: automatic.
        when_full: What gives way at the bound.
        resend_after: Seconds until an entry without the subscriber's acknowledgement is sent again.
        commit_after: Seconds an entry may be in memory only.
        bound: Most bytes on disk.
    """

    mode: Literal["broker", "end_to_end"] = "broker"
    replay: Replay = "live_first"
    replay_rate: int = 0
    when_full: WhenFull = "drop_oldest"
    resend_after: float = 30.0
    commit_after: float = 0.05
    bound: int = 256 << 20


@dataclass
class Bell:
    """How an outbox calls the disk thread; `idle` is True while that thread sleeps without a time set."""

    ring: Callable[[], None]
    idle: bool = True
