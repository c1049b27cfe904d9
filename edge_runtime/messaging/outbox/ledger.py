"""The account of an outbox: accepted = delivered + stored + waiting + dropped, after every step."""

from __future__ import annotations

from collections import Counter

from edge_runtime.messaging.outbox.contract import OutboxHealth

_RATE_OVER_SECONDS = 60.0


class Ledger:
    """Counts of entries, and bytes on disk.

    Attributes:
        accepted, delivered, stored, waiting, dropped: As in `OutboxHealth`.
        bytes: Bytes on disk, rows to be deleted included.
    """

    def __init__(self) -> None:
        self.accepted = self.delivered = self.stored = self.waiting = self.bytes = 0
        self.dropped: Counter[str] = Counter()
        self._then = 0.0
        self._bytes_then = 0
        self._growth = 0.0

    def found(self, rows: int, size: int, now: float) -> None:
        """Take in what is on disk at start."""
        self.accepted += rows
        self.stored += rows
        self.bytes += size
        self._then, self._bytes_then = now, size

    def stores(self, count: int) -> None:
        """Move entries from memory to disk, or back where negative."""
        self.waiting -= count
        self.stored += count

    def leaves(self, *, stored: bool) -> None:
        """Take one entry out of where it is; the caller says what became of it."""
        if stored:
            self.stored -= 1
        else:
            self.waiting -= 1

    def minutes_left(self, bound: int, now: float) -> float | None:
        """Return the minutes until the bound at the rate of the last minute or so; None where nothing accumulates."""
        passed = now - self._then
        if passed >= _RATE_OVER_SECONDS:
            self._growth = (self.bytes - self._bytes_then) / passed
            self._then, self._bytes_then = now, self.bytes
        elif passed > 1.0 and self._growth == 0.0:
            growth = (self.bytes - self._bytes_then) / passed
            return _minutes(bound - self.bytes, growth)
        return _minutes(bound - self.bytes, self._growth)

    def health(self) -> OutboxHealth:
        """Return the counts."""
        return OutboxHealth(
            accepted=self.accepted,
            delivered=self.delivered,
            stored=self.stored,
            waiting=self.waiting,
            dropped=dict(self.dropped),
            bytes=self.bytes,
        )


def _minutes(room: int, growth: float) -> float | None:
    return round(max(room, 0) / growth / 60.0, 1) if growth > 0 else None
