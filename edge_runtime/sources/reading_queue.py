"""The bounded queue between the network thread, which only puts, and a pipeline's worker, which only takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock
from time import monotonic
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
        self._lock = Lock()
        self._bell = Lock()  # held while the taker has nothing to wake up for; a Condition costs three times as much
        self._bell.acquire()
        self._enough = 0  # messages for which a taker that waits is to be woken; 0 where none waits
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
        with self._lock:
            if self._closed:
                return
            lost = self._append(messages)
            if 0 < self._enough <= len(self._waiting):
                self._wake()
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
        if not self._waiting:
            self._wait_for(1, patience)
        if linger and 0 < len(self._waiting) < most:
            self._wait_for(most, linger)
        with self._lock:
            held_back = self.holds_back
            taken = self._pop(most)
            has_room = held_back and not self.holds_back
            ended = self._closed and not taken
        if has_room:
            self._room()
        return None if ended else taken

    def close(self) -> None:
        """Let the taker finish what is queued and then end."""
        with self._lock:
            self._closed = True
            if self._enough:
                self._wake()

    def abandon(self) -> int:
        """Forget what is queued, which so stays unacknowledged, and return how much that was."""
        with self._lock:
            forgotten = len(self._waiting)
            self._waiting.clear()
            return forgotten

    def _wait_for(self, count: int, patience: float | None) -> None:
        """Wait until there are so many messages or none comes any more; only the taker does."""
        end = None if patience is None else monotonic() + patience
        while True:
            with self._lock:
                if self._closed or len(self._waiting) >= count:
                    return
                self._enough = count
            if not self._bell.acquire(timeout=-1 if end is None else max(end - monotonic(), 0.0)):
                self._give_up_waiting()
                return

    def _give_up_waiting(self) -> None:
        with self._lock:
            if not self._enough:  # woken meanwhile after all
                self._bell.acquire(blocking=False)
            self._enough = 0

    def _wake(self) -> None:
        self._enough = 0
        self._bell.release()

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
