"""Predictions in memory only."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from edge_runtime.messaging.message import Outgoing
from edge_runtime.messaging.outbox.contract import Entry, OutboxHealth


class MemoryOutbox:
    """An outbox without a disk.

    Args:
        ready: Called when there is something to take.
    """

    def __init__(self, ready: Callable[[], None]) -> None:
        self._ready = ready
        self._waiting: deque[Outgoing] = deque()
        self._accepted = self._delivered = 0

    def accepts(self) -> bool:
        """See the contract."""
        return True

    def put(self, entries: Sequence[Entry], release: Callable[[], None]) -> None:
        """See the contract."""
        self._waiting.extend(Outgoing(entry.topic, entry.payload) for entry in entries)
        self._accepted += len(entries)
        release()
        self._ready()

    def take(self, room: int) -> Sequence[Outgoing]:
        """See the contract."""
        return [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]

    def settle(self, tickets: Sequence[int]) -> None:
        """See the contract."""
        self._delivered += len(tickets)

    def health(self) -> OutboxHealth:
        """See the contract."""
        return OutboxHealth(accepted=self._accepted, delivered=self._delivered)
