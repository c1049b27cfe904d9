"""Lets tests of the optimizer import the models beside them, and keeps their work to one engine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.inference.engines import DEFAULT, ENGINES

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True, scope="module")
def one_engine(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave OpenVINO out, which doubles the forms to try, except in the tests that are about engines."""
    with pytest.MonkeyPatch.context() as patch:
        if "engine" not in request.path.name:
            patch.delitem(ENGINES, "openvino")
            patch.setenv("EDGEOPT_ENGINE", DEFAULT)  # for commands, which are processes of their own
        yield
