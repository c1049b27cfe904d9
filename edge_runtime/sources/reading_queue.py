"""The bounded queue between the network thread, which only puts, and a pipeline's worker, which only takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition
from typing import Literal, TypeAlias

from edge_runtime.messaging.message import Message

Policy: TypeAlias = Literal["block", "drop_oldest", "drop_newest"]


class ReadingQueue:
    """Messages waiting for one pipeline.

    Args:
        size: Most messages waiting.
        policy: What happens when it is full. ``block`` asks the connection to read nothing until there is room again,
            so that TCP holds the sender back, and takes what was read already; the others let messages go.
        dropped: Called with messages that had to go.
        room: Called when a full queue has room again.
    """

    def __init__(
        self,
        size: int,
        policy: Policy,
        dropped: Callable[[Sequence[Message]], None],
        room: Callable[[], None] = lambda: None,
    ) -> None:
        self._size, self._policy, self._dropped, self._room = size, policy, dropped, room
        self._waiting: deque[Message] = deque()
        self._changed = Condition()
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def holds_back(self) -> bool:
        """Tell whether the sender should wait: full, and nothing may be dropped."""
        return self._policy == "block" and len(self._waiting) >= self._size and not self._closed

    def oldest(self) -> float | None:
        """Return when the message that waits longest came, monotonic seconds; None where none waits."""
        try:
            return self._waiting[0].arrived
        except IndexError:
            return None

    def put(self, messages: Sequence[Message]) -> None:
        """Queue messages and return at once; after `close` they are not taken, and so stay unacknowledged."""
        with self._changed:
            if self._closed:
                return
            lost = self._append(messages)
            self._changed.notify()
        if lost:
            self._dropped(lost)

    def take(self, most: int, linger: float = 0.0, patience: float | None = None) -> list[Message] | None:
        """Wait for messages and return those that are there.

        Args:
            most: At most so many.
            linger: Seconds to wait for more once there is one.
            patience: Seconds to wait for one; after them the list is empty. None waits for ever.

        Returns:
            None once the queue is closed and everything in it was taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, patience)
            if linger and 0 < len(self._waiting) < most:
                self._changed.wait_for(lambda: len(self._waiting) >= most or self._closed, linger)
            held_back = self.holds_back
            taken = self._pop(most)
            has_room = held_back and not self.holds_back
            ended = self._closed and not taken
        if has_room:
            self._room()
        return None if ended else taken

    def close(self) -> None:
        """Let the taker finish what is queued and then end."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def abandon(self) -> int:
        """Forget what is queued, which so stays unacknowledged, and return how much that was."""
        with self._changed:
            forgotten = len(self._waiting)
            self._waiting.clear()
            return forgotten

    def _pop(self, most: int) -> list[Message]:
        if len(self._waiting) <= most:
            taken = list(self._waiting)
            self._waiting.clear()
            return taken
        return [self._waiting.popleft() for _ in range(most)]

    def _append(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Add the messages and return those that had to go for them, which may be among them."""
        surplus = len(self._waiting) + len(messages) - self._size
        if self._policy == "block" or surplus <= 0:
            self._waiting.extend(messages)
            return ()
        if self._policy == "drop_newest":
            kept = max(len(messages) - surplus, 0)
            self._waiting.extend(messages[:kept])
            return messages[kept:]
        self._waiting.extend(messages)
        return [self._waiting.popleft() for _ in range(surplus)]
