"""Lint, format and types: what an editor would say, said by the test command as well."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def check(*arguments: str) -> None:
    """Run a tool with the project's settings; it must find nothing to say."""
    ended = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=280
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_lint_finds_nothing() -> None:
    """Ruff's chosen rules hold everywhere, tests and scripts included."""
    check("ruff", "check", ".")


def test_the_code_is_formatted() -> None:
    """One format, which nobody has to argue about."""
    check("ruff", "format", "--check", ".")


@pytest.mark.skipif(
    sys.version_info < (3, 11), reason="the last numpy for Python 3.10 has older, poorer type information"
)
def test_types_fit() -> None:
    """Mypy in strict mode, without holes for single packages."""
    check("mypy")
