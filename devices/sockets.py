"""Addresses of sockets that lie in a folder, however long its path is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def short_address(path: Path) -> Iterator[str]:
    """Yield an address of at most 107 bytes, which is all that Linux takes, for a socket in an existing folder.

    It leads through this process's own open descriptors and is good inside the `with` block.

    Raises:
        OSError: The folder cannot be opened.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
