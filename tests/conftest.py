"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

ASSETS = Path(__file__).resolve().parents[2] / "shared" / "assets"


@pytest.fixture(scope="session")
def assets() -> Path:
    """Return the folder of real models and labelled data, or skip saying that it is absent."""
    if not ASSETS.is_dir():
        pytest.skip(f"needs the real models and data in {ASSETS}, which is absent here")
    return ASSETS
