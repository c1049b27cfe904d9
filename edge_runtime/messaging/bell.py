"""Waking a thread that waits in poll."""

from __future__ import annotations

import os


class Bell:
    """Rung by any thread; many rings before the waiter looks are one, and cost one system call."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._rung = False

    def __del__(self) -> None:
        os.close(self._descriptor)  # not before: somebody may ring after the waiter has gone

    def fileno(self) -> int:
        """Return the descriptor that is readable once the bell was rung."""
        return self._descriptor

    def ring(self) -> None:
        """Wake the waiter, now or when it next begins to wait."""
        if not self._rung:
            self._rung = True
            os.eventfd_write(self._descriptor, 1)

    def silence(self) -> None:
        """Take note; to be called by the waiter once the bell is readable, before it looks for what it was rung for."""
        os.eventfd_read(self._descriptor)
        self._rung = False
