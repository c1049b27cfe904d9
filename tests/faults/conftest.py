"""Where the harness and what it shares with the integration tests are found."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pytest
from brokers import MOSQUITTO


@pytest.fixture
def needs_mosquitto() -> None:
    """Skip where the only broker is the embedded one, which keeps nothing over a restart."""
    if not MOSQUITTO:
        pytest.skip("needs mosquitto, which is not installed: the embedded broker cannot do this")
