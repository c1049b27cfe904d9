"""The outbox of `best_effort`: in memory, sent once with QoS 0, bounded."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from edge_runtime.messaging.message import Outgoing
from edge_runtime.messaging.outbox.contract import Entry, OutboxHealth

_ENTRY_OVERHEAD = 250  # what Python's objects take beside the payload


class MemoryOutbox:
    """Keeps the newest predictions until the connection takes them; the oldest go when there are too many.

    Args:
        most_entries: Most predictions waiting.
        most_bytes: Most bytes they take.
        wake: Called when there is something to send.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        wake: Callable[[], None],
        *,
        most_entries: int = 10_000,
        most_bytes: int = 8 << 20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wake, self._most_entries, self._most_bytes, self._clock = wake, most_entries, most_bytes, clock
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Outgoing, float]] = deque()
        self._bytes = self._accepted = self._flying = self._delivered = self._dropped = self._lost = 0

    def accepts(self) -> bool:
        """Always: what is new matters more than what is old."""
        return True

    def put(self, entries: Sequence[Entry], release: Callable[[], None]) -> None:
        """Queue predictions and release their readings at once."""
        now = self._clock()
        with self._lock:
            for entry in entries:
                self._waiting.append((Outgoing(entry.topic, entry.payload, 0), now))
                self._bytes += len(entry.payload) + _ENTRY_OVERHEAD
            self._accepted += len(entries)
            while len(self._waiting) > self._most_entries or self._bytes > self._most_bytes:
                self._pop()
                self._dropped += 1
        release()  # first, so that the acknowledgement of the reading leaves with its prediction
        self._wake()

    def take(self, room: int) -> Sequence[Outgoing]:
        """Return the oldest predictions waiting."""
        with self._lock:
            taken = [self._pop() for _ in range(min(room, len(self._waiting)))]
            self._flying += len(taken)
        return taken

    def settle(self, tickets: Sequence[int]) -> None:
        """Count what was written to the socket."""
        with self._lock:
            self._flying -= len(tickets)
            self._delivered += len(tickets)

    def lose(self, tickets: Sequence[int]) -> None:
        """Count what was lost unwritten with its connection."""
        with self._lock:
            self._flying -= len(tickets)
            self._lost += len(tickets)

    def health(self) -> OutboxHealth:
        """Return the account; what the connection has is still waiting."""
        with self._lock:
            dropped = {"memory_full": self._dropped, "link_lost": self._lost}
            return OutboxHealth(
                accepted=self._accepted,
                delivered=self._delivered,
                waiting=len(self._waiting) + self._flying,
                dropped={name: count for name, count in dropped.items() if count},
                oldest_age_s=round(self._clock() - self._waiting[0][1], 3) if self._waiting else None,
            )

    def _pop(self) -> Outgoing:
        outgoing, _ = self._waiting.popleft()
        self._bytes -= len(outgoing.payload) + _ENTRY_OVERHEAD
        return outgoing
