"""Work for executors: functions that other processes can import by name."""

from __future__ import annotations

import os


def scaled(factor: int, item: int) -> int:
    """Return the product."""
    return factor * item


def where(_: None, item: int) -> tuple[int, int]:
    """Return the item and the process that had it."""
    return item, os.getpid()


def die(_: None, item: int) -> int:
    """End the process with this status."""
    os._exit(item)
