"""The contract between a pipeline's worker and its outbox."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

from edge_runtime.messaging.message import Supply

Delivery: TypeAlias = Literal["best_effort", "broker", "end_to_end"]


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One prediction on its way out.

    (device, pipeline, stream, boot, sequence) names it for ever: `boot` is the epoch, new with every start of the
    daemon, and the sequence counts up by one per stream from 1.

    Attributes:
        stream: The asset it is about.
        sequence: Its number in the stream.
        topic: Where it is published.
        payload: A JSON object.
    """

    stream: str
    sequence: int
    topic: str
    payload: bytes


class OutboxHealth(msgspec.Struct, frozen=True):
    """How full an outbox is and what became of what was put into it.

    accepted = delivered + stored + waiting + the sum of dropped, at every moment.

    Attributes:
        accepted: Entries put in since start, and those found on disk at start.
        delivered: Entries that have left as the delivery promises.
        stored: Entries on disk.
        waiting: Entries in memory only.
        dropped: Entries lost, by reason.
        bytes: Bytes on disk.
        bound_bytes: Most bytes on disk; 0 where nothing is kept there.
        oldest_age_s: Age of the oldest entry, None when empty.
        minutes_left: Minutes until the bound at the recent rate; None when nothing accumulates.
        written_bytes: Bytes written to disk since start, what the database adds included.
        commits: Transactions since start.
        fault: Why nothing can be stored at present, None where it can.
    """

    accepted: int = 0
    delivered: int = 0
    stored: int = 0
    waiting: int = 0
    dropped: dict[str, int] = {}
    bytes: int = 0
    bound_bytes: int = 0
    oldest_age_s: float | None = None
    minutes_left: float | None = None
    written_bytes: int = 0
    commits: int = 0
    fault: str | None = None


class Outbox(Supply, Protocol):
    """Keeps one pipeline's predictions until they are delivered; `put` is called by its worker only."""

    def accepts(self) -> bool:
        """Tell whether `put` may be called; False is a refusal to be counted as ``outbox_full`` (policy reject_new)."""

    def put(self, entries: Sequence[Entry], release: Callable[[], None]) -> None:
        """Take in predictions, ready to send at once.

        Args:
            entries: In order of their sequence.
            release: Called once, on any thread, when all of them are safe as the delivery promises, so that the
                readings behind them need not come again.
        """

    def health(self) -> OutboxHealth:
        """Return the account."""
