"""The supply of a connection's own small messages: states first, then the others in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition

from edge_runtime.messaging.message import Outgoing

_MOST_WAITING_BYTES = 32 << 20  # waiting for their turn; beyond, `add` refuses and the caller counts
_LOOK_SECONDS = 0.05


class OwnPublishes:
    """Messages handed over by any thread and taken by whoever holds the wire."""

    def __init__(self) -> None:
        self._states: dict[str, Outgoing] = {}  # topic -> newest; they go before all that waits
        self._waiting: deque[Outgoing] = deque()
        self._waiting_bytes = 0
        self._taken = 0
        self._changed = Condition()

    def __len__(self) -> int:
        """Return how many messages are not settled yet."""
        return len(self._states) + len(self._waiting) + self._taken

    @property
    def taken(self) -> int:
        """Return how many of them were taken."""
        return self._taken

    def add(self, message: Outgoing) -> bool:
        """Take a message; False where too many bytes wait."""
        size = len(message.topic) + len(message.payload)
        with self._changed:
            if self._waiting_bytes + size > _MOST_WAITING_BYTES:
                return False
            self._waiting_bytes += size
            self._waiting.append(message)
        return True

    def add_state(self, topic: str, payload: bytes) -> None:
        """Take a message that says how things are; it replaces an older one that still waits."""
        with self._changed:
            self._states[topic] = Outgoing(topic, payload, qos=1, retain=True)

    def take(self, room: int) -> Sequence[Outgoing]:
        """Return the next messages to send."""
        if not self._states and not self._waiting:
            return ()
        batch: list[Outgoing] = []
        with self._changed:
            while self._states and len(batch) < room:
                batch.append(self._states.pop(next(iter(self._states))))
            while self._waiting and len(batch) < room:
                message = self._waiting.popleft()
                self._waiting_bytes -= len(message.topic) + len(message.payload)
                batch.append(message)
            self._taken += len(batch)
        return batch

    def settle(self, tickets: Sequence[int]) -> None:
        """Note what is done."""
        with self._changed:
            self._taken -= len(tickets)
            self._changed.notify_all()

    def lose(self, tickets: Sequence[int]) -> None:
        """Note what is lost: at QoS 0 that was the caller's choice, and the connection counts it."""
        self.settle(tickets)

    def wait_until_settled(self, timeout: float, others: Callable[[], int]) -> bool:
        """Wait until nothing is open here and `others` returns 0; False where time ran out."""
        end = time.monotonic() + timeout
        with self._changed:
            while len(self) or others():
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, _LOOK_SECONDS))
        return True
