"""Whether messages come in so fast that it pays to let some gather."""

from __future__ import annotations

BUSY_RATE = 3000.0  # messages per second

_SLOT_SECONDS = 0.02


class Pace:
    """The rate of messages over the last fiftieth of a second or so; one thread only.

    Attributes:
        is_busy: Whether they come faster than `BUSY_RATE`.
    """

    def __init__(self) -> None:
        self.is_busy = False
        self._begin, self._count = 0.0, 0

    def count(self, messages: int, now: float) -> None:
        """Note messages that were read at `now`, monotonic seconds."""
        self._count += messages
        elapsed = now - self._begin
        if elapsed >= _SLOT_SECONDS:
            self.is_busy = self._count > BUSY_RATE * elapsed
            self._begin, self._count = now, 0
