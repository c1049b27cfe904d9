"""Places where a test may let the process die as in a power cut, by name."""

from __future__ import annotations

import os
import signal

_WANTED = os.environ.get("EDGE_CRASH_AT")


def crash_point(name: str) -> None:
    """Die here, without any clean-up, where the environment variable EDGE_CRASH_AT has this name."""
    if name == _WANTED:
        os.kill(os.getpid(), signal.SIGKILL)
