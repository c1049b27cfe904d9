"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devices import profile
from devices.errors import EnvironmentFault
from devices.places import sandbox

ASSETS = Path(__file__).resolve().parents[2] / "shared" / "assets"


@pytest.fixture(scope="session")
def assets() -> Path:
    """Return the folder of real models and labelled data, or skip saying that it is absent."""
    if not ASSETS.is_dir():
        pytest.skip(f"needs the real models and data in {ASSETS}, which is absent here")
    return ASSETS


@pytest.fixture(scope="session")
def sandbox_cache() -> Path | None:
    """Return where emulated places are set up (None: the user's cache), once it is there, or skip where none can be."""
    try:
        sandbox.prepare(None, profile.load("raspberry-pi-4"), lambda line: None)
    except EnvironmentFault as error:
        if error.code != "E-PLACE-EMULATION-HOST" or "CI" in os.environ:
            raise
        pytest.skip(f"needs an emulated board: {error.message}")
    return None
