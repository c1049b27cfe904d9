"""The latest error, noted from the log."""

from __future__ import annotations

import logging

import pytest

from edge_runtime.errors import EnvironmentFault
from edge_runtime.monitoring.last_error import ErrorNotes


@pytest.fixture
def log() -> logging.Logger:
    """Return a logger of its own."""
    logger = logging.Logger("for tests")
    logger.addHandler(logging.NullHandler())
    return logger


def test_errors_are_counted_and_the_latest_is_kept_with_its_code(log: logging.Logger) -> None:
    """Warnings are no errors; a code is found in the words, and there may be none."""
    notes = ErrorNotes()
    log.addHandler(notes)
    log.warning("the broker went away")
    assert (notes.count, notes.last) == (0, None)
    log.error("not saved: %s", EnvironmentFault("E-FILE-WRITE", "no room", "make some"))
    assert notes.last is not None
    assert (notes.count, notes.last.code) == (1, "E-FILE-WRITE")
    log.error("x" * 10_000)
    assert (notes.count, notes.last.code, len(notes.last.text)) == (2, None, 500)
    assert notes.last.ts.endswith("Z")
