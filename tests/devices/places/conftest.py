"""A remote machine for the tests of places."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from sshd import Sshd


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """Return a running sshd; nothing of ours may be left there when the test is over."""
    folder = tmp_path / "machine"
    folder.mkdir()
    one = Sshd(folder)
    try:
        yield one
        one.wait_until_nothing_is_left()
    finally:
        one.stop()
