"""What is sent to the other end of ssh."""

from __future__ import annotations

import ast
from pathlib import Path

from devices.places import guard


def test_an_old_python_understands_the_guard() -> None:
    """Only so can Python 3.6 be told that it is too old; its source is ASCII, whatever the machine's locale is."""
    source = Path(guard.__file__).read_text(encoding="ascii")
    ast.parse(source, feature_version=(3, 6))
    assert "from __future__" not in source
