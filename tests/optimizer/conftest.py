"""Lets tests of the optimizer import the models beside them, and keeps their work to one engine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edge_runtime.inference.engines import DEFAULT, ENGINES

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def one_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave OpenVINO out, which doubles the forms to try, except in the tests that are about engines."""
    if "engine" not in request.path.name:
        monkeypatch.delitem(ENGINES, "openvino")
        monkeypatch.setenv("EDGEOPT_ENGINE", DEFAULT)  # for commands, which are processes of their own
