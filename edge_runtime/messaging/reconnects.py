"""When to try again after a connection was lost, and whether another client is using our identifier."""

from __future__ import annotations

import random

from edge_runtime.messaging.wire import Loss

FIRST_PAUSE_SECONDS = 1.0
SLOW_PAUSE_SECONDS = 10.0  # after a refusal, and at least between two attempts while another client has our identifier

_STEADY_SECONDS = 1.0  # a connection that lived so long starts the pauses over
_SHORT_SECONDS = 5.0  # closed by the broker before: perhaps taken over, if it happens again and again
_SHORT_LIVES = 3
_PEACE_SECONDS = 60.0  # a connection that lived so long is nobody else's


class Reconnects:
    """Pauses that double, jittered: a fleet that lost its broker together must not come back together.

    A take-over is known from the broker's own word (MQTT 5), or guessed from connections that a broker closes soon
    after accepting them, several times in a row, while it is there itself: one that restarts is not. Two clients with
    one identifier throw each other out for ever; who notices it keeps away for longer.

    Args:
        most_seconds: Longest pause.

    Attributes:
        duplicate_client: Whether another client seems to have this one's identifier.
    """

    def __init__(self, most_seconds: float) -> None:
        self.duplicate_client = False
        self._most = most_seconds
        self._attempt = self._short_lives = 0

    def after_failure(self) -> float:
        """Return the pause after an attempt that found no broker."""
        self.duplicate_client, self._short_lives = False, 0  # so it was the broker that went away
        return self._pause()

    def after_refusal(self) -> float:
        """Return the pause after the broker refused: trying at once would not change its mind."""
        self.duplicate_client, self._short_lives = False, 0  # another client would be accepted, and so would we
        return max(self._pause(), self._slow())

    def would_suspect(self, loss: Loss, lived: float) -> bool:
        """Tell whether this loss would make another client likely, if the broker itself is there."""
        short = loss.by_peer and loss.kind is None and lived < _SHORT_SECONDS
        return short and not loss.taken_over and self._short_lives + 1 >= _SHORT_LIVES

    def after_loss(self, loss: Loss, lived: float, *, broker_is_there: bool = True) -> float:
        """Return the pause after a connection that was accepted and lived for so many seconds.

        Args:
            loss: How it ended.
            lived: Seconds.
            broker_is_there: Whether the broker took a connection right after that.
        """
        if lived >= _PEACE_SECONDS or not broker_is_there:
            self.duplicate_client = False
        if lived >= _STEADY_SECONDS:
            self._attempt = 0
        short = loss.by_peer and loss.kind is None and lived < _SHORT_SECONDS and broker_is_there
        self._short_lives = self._short_lives + 1 if short else 0
        if loss.taken_over or self._short_lives >= _SHORT_LIVES:
            self.duplicate_client = True
        return max(self._pause(), self._slow()) if self.duplicate_client else self._pause()

    def _pause(self) -> float:
        longest = min(FIRST_PAUSE_SECONDS * 2**self._attempt, self._most)
        self._attempt = min(self._attempt + 1, 30)
        return min(random.uniform(longest, 2 * longest), self._most)  # noqa: S311

    def _slow(self) -> float:
        return random.uniform(SLOW_PAUSE_SECONDS, 2 * SLOW_PAUSE_SECONDS)  # noqa: S311
