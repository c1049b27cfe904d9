"""SHA-256 without libcrypto, which `hashlib` brings along and which takes 4 MB of a daemon's memory."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import hashlib

_LARGE = 16 << 20  # bytes from which on libcrypto's speed, some eight times as high, is worth its memory


def sha256(data: bytes) -> hashlib._Hash:
    """Return the SHA-256 object of some bytes, of Python's own code where this Python has it (`random` does alike)."""
    small = ("_sha2", "_sha256") if len(data) < _LARGE else ()  # their names from Python 3.12 on, and before
    for name in (*small, "hashlib"):
        with suppress(ImportError):
            found: hashlib._Hash = import_module(name).sha256(data)
            return found
    raise ImportError("this Python has no hashlib")
