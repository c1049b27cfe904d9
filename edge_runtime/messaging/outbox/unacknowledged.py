"""What was sent and waits for the subscriber's acknowledgement."""

from __future__ import annotations

from collections import deque

from edge_runtime.messaging.outbox.held import Held

MOST = 1000  # sent and not acknowledged; backlog entries stop at half of it, so that live ones still have room


class Unacknowledged:
    """Entries sent, by (stream, boot), in the order of their sequence within each of the two lanes."""

    def __init__(self) -> None:
        self._clear()

    def add(self, held: Held, now: float, *, live: bool) -> None:
        """Note an entry that was just sent."""
        lanes = self._lanes.setdefault((held.entry.stream, held.boot), (deque(), deque()))
        lanes[live].append(held)
        held.since = now
        self._by_time.append(held)
        self.count += 1

    def covered(self, stream: str, boot: str, sequence: int) -> list[Held]:
        """Take out and return what a cumulative acknowledgement covers."""
        lanes = self._lanes.get((stream, boot))
        if lanes is None:
            return []
        covered = []
        for lane in lanes:
            while lane and (lane[0].gone or lane[0].entry.sequence <= sequence):
                held = lane.popleft()
                if not held.gone:
                    covered.append(held)
        if not lanes[0] and not lanes[1]:
            del self._lanes[stream, boot]
        self.count -= len(covered)
        return covered

    def forget(self) -> None:
        """Count out an entry that was dropped, and so is gone."""
        self.count -= 1

    def oldest(self) -> float | None:
        """Return when the entry was sent that waits longest."""
        while self._by_time and self._by_time[0].gone:
            self._by_time.popleft()
        return self._by_time[0].since if self._by_time else None

    def rewind(self) -> list[Held]:
        """Take out and return what is on disk and no longer with the connection: it is to be sent again from there."""
        every = [held for held in self._by_time if not held.gone]
        again = [held for held in every if held.stored and not held.flying]
        self._clear()
        for held in every:
            if not (held.stored and not held.flying):
                self.add(held, held.since, live=held.group is not None)
        return again

    def _clear(self) -> None:
        self.count = 0
        self._lanes: dict[tuple[str, str], tuple[deque[Held], deque[Held]]] = {}
        self._by_time: deque[Held] = deque()
