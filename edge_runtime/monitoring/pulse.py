"""Which threads have stopped moving: what the watchdog goes by."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pulse:
    """One thread's sign of life: it touches the pulse whenever it goes on, and says when it waits for work."""

    def __init__(self) -> None:
        self._moved_at: float | None = None

    def moved(self) -> None:
        """Say: I am at work and have just got on with it. Costs one reading of the clock."""
        self._moved_at = time.monotonic()

    def rests(self) -> None:
        """Say: I wait for work, so that my silence means nothing."""
        self._moved_at = None

    def silence(self, now: float) -> float:
        """Return for how many seconds the thread has been at work without moving; 0 while it rests."""
        moved_at = self._moved_at
        return 0.0 if moved_at is None else max(now - moved_at, 0.0)


class Pulses:
    """All threads that are watched, by name; one thread at a time asks.

    Args:
        limit: Seconds at work without moving from which on a thread is taken for hung.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._pulses: dict[str, Pulse] = {}
        self._counters: dict[str, tuple[Callable[[], int | None], int | None, float]] = {}

    def add(self, name: str) -> Pulse:
        """Return a new thread's pulse, at rest; before the threads start."""
        return self._pulses.setdefault(name, Pulse())

    def watch(self, name: str, turns: Callable[[], int | None]) -> None:
        """Watch a thread that counts its turns.

        Args:
            name: Of the thread.
            turns: Wakes it and returns the count; None where it need not turn at present.
        """
        self._counters[name] = (turns, None, 0.0)

    def hung(self, now: float) -> tuple[str, ...]:
        """Return the threads that have not moved for longer than the limit; `now` is monotonic seconds."""
        silence = {name: pulse.silence(now) for name, pulse in self._pulses.items()}
        for name, (turns, before, since) in self._counters.items():
            count = turns()
            if count is None or count != before:
                since = now  # noqa: PLW2901 - it has moved
            self._counters[name] = (turns, count, since)
            silence[name] = now - since
        return tuple(name for name, seconds in silence.items() if seconds > self._limit)
