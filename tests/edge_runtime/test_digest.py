"""SHA-256 is SHA-256, whoever computes it."""

from __future__ import annotations

import hashlib

import pytest

from edge_runtime.digest import sha256


@pytest.mark.parametrize("size", [0, 1, 1000, 16 << 20])
def test_it_is_hashlibs(size: int) -> None:
    """Small data go through Python's own code, large ones through libcrypto; the digest is the same."""
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert sha256(data).hexdigest() == hashlib.sha256(data).hexdigest()
