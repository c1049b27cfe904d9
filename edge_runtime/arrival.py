"""The time of arrival: a clock that nobody sets while the daemon runs."""

from __future__ import annotations

import time

_OFFSET = time.time() - time.monotonic()


def arrival_time() -> float:
    """Return seconds since 1970 as the system's clock said at the start, and as they have really passed since."""
    return time.monotonic() + _OFFSET
