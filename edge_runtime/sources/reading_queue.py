"""The bounded queue between the network thread, which only puts, and a pipeline's worker, which only takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Condition
from typing import Literal, TypeAlias

from edge_runtime.messaging.connection import Message

Policy: TypeAlias = Literal["block", "drop_oldest", "drop_newest"]


class ReadingQueue:
    """Messages waiting for one pipeline.

    Args:
        size: Most messages waiting.
        policy: What happens when it is full. ``block`` lets the network thread wait until the worker has taken one
            message, so that TCP holds the sender back; the others let one message go and return at once.
        dropped: Called with each message that had to go.
    """

    def __init__(self, size: int, policy: Policy, dropped: Callable[[Message], None]) -> None:
        self._size, self._policy, self._dropped = size, policy, dropped
        self._waiting: deque[Message] = deque()
        self._changed = Condition()
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Message) -> None:
        """Queue a message; once the queue is closed it is not taken, and so stays unacknowledged."""
        with self._changed:
            if self._policy == "block":
                self._changed.wait_for(lambda: len(self._waiting) < self._size or self._closed)
            if self._closed:
                return
            lost = self._append(message)
            self._changed.notify_all()
        if lost is not None:
            self._dropped(lost)

    @property
    def is_finished(self) -> bool:
        """Tell whether the queue is closed and everything in it was taken."""
        return self._closed and not self._waiting

    def take(self, timeout: float | None = None) -> Message | None:
        """Wait so many seconds for the next message; None where none came, or the queue is finished."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, timeout)
            self._changed.notify_all()
            return self._waiting.popleft() if self._waiting else None

    def close(self) -> None:
        """Let the taker finish what is queued and then end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abandon(self) -> int:
        """Forget what is queued, which so stays unacknowledged, and return how much that was."""
        with self._changed:
            forgotten = len(self._waiting)
            self._waiting.clear()
            return forgotten

    def _append(self, message: Message) -> Message | None:
        """Add the message and return the one that had to go for it, which may be itself."""
        if len(self._waiting) < self._size:
            self._waiting.append(message)
            return None
        if self._policy == "drop_newest":
            return message
        self._waiting.append(message)
        return self._waiting.popleft()
