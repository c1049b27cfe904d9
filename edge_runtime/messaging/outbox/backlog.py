"""The backlog lane: what waits on disk, read in pages, sent beside live predictions at a bounded rate."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from edge_runtime.messaging.outbox.contract import Entry
from edge_runtime.messaging.outbox.held import Held
from edge_runtime.messaging.outbox.row import Row

PAGE_ROWS = 512

_RATE_OVER_LIVE = 10.0
_SLOWEST = 500.0
_BURST_SECONDS = 0.1
_LIVE_OVER_SECONDS = 5.0


class Backlog:
    """Where reading is on disk, and what was read ahead.

    Attributes:
        cursor: Rows up to this ticket were read.
        upto: Rows up to this ticket are of the backlog; later ones are in memory.
        page: What was read and not sent.
    """

    def __init__(self) -> None:
        self.cursor = self.upto = 0
        self.page: deque[Held] = deque()
        self._before: dict[tuple[str, str], int] = {}  # (stream, boot) -> the sequence read before

    def __bool__(self) -> bool:
        return bool(self.page) or self.cursor < self.upto

    @property
    def wants_page(self) -> bool:
        """Tell whether there is something to read and room for it."""
        return self.cursor < self.upto and len(self.page) < PAGE_ROWS // 2

    def rewind(self) -> None:
        """Read everything again from the oldest row."""
        self.cursor = 0
        self.page.clear()
        self._before.clear()

    def marked(self, row: Row) -> Entry:
        """Return what is sent for the next row read: marked historical, with the sequence of the one before it.

        Numbers between the two were delivered or dropped: a subscriber need not wait for them.
        """
        key = (row.stream, row.boot)
        before = self._before.get(key, 0)
        self._before[key] = row.sequence
        return Entry(row.stream, row.sequence, row.topic, historical(row.payload, before))

    def read_to(self, rows: Sequence[Row], damaged: Sequence[int], upto: int) -> None:
        """Note that a page was read which was asked for with this `upto`."""
        whole = len(rows) + len(damaged) == PAGE_ROWS
        last = max((*(row.ticket for row in rows[-1:]), *damaged[-1:]), default=upto)
        self.cursor = last if whole else upto


class Allowance:
    """A token bucket for backlog entries.

    Args:
        rate: Entries per second; 0: ten times the rate of live ones, at least 500.
        now: Monotonic seconds.
    """

    def __init__(self, rate: int, now: float) -> None:
        self._fixed, self._live, self._tokens = float(rate), 0.0, 0.0
        self._filled, self._counted, self._puts = now, now, 0

    def live(self, count: int, now: float) -> None:
        """Count live entries."""
        self._puts += count
        passed = now - self._counted
        if passed >= _LIVE_OVER_SECONDS:
            self._live, self._puts, self._counted = self._puts / passed, 0, now

    def take(self, wanted: int, now: float) -> int:
        """Return how many of the wanted entries may be sent now."""
        rate = self._fixed or max(_SLOWEST, _RATE_OVER_LIVE * max(self._live, self._recent(now)))
        most = max(1.0, rate * _BURST_SECONDS)
        self._tokens = min(most, self._tokens + (now - self._filled) * rate)
        self._filled = now
        allowed = min(wanted, int(self._tokens))
        self._tokens -= allowed
        return allowed

    def _recent(self, now: float) -> float:
        return self._puts / max(now - self._counted, 1.0)


def historical(payload: bytes, before: int) -> bytes:
    """Return a JSON object with ``historical`` and ``after`` in front."""
    rest = payload.lstrip()[1:]
    comma = b"" if rest.lstrip().startswith(b"}") else b","
    return b'{"historical":true,"after":%d%s%s' % (before, comma, rest)
