"""A report with every part filled, and one with none."""

from __future__ import annotations

import pytest
from reports import empty_report, full_report

from optimizer.report.record import Report


@pytest.fixture
def full() -> Report:
    """Return the full report."""
    return full_report()


@pytest.fixture
def empty() -> Report:
    """Return the empty one."""
    return empty_report()
