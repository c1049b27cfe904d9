"""Environments: edgeopt's own, one that is ready, and one that cannot be filled."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.peers.environments import provide


def test_a_tool_without_requirements_runs_here(tmp_path: Path) -> None:
    """The tools of onnxruntime need nothing that edgeopt lacks."""
    assert provide("tool", (), tmp_path).python == Path(sys.executable)


def test_an_environment_is_made_once_for_its_requirements(tmp_path: Path) -> None:
    """The second call finds what the first one made; other requirements make it anew, and what fails is said.

    The reason is pip's own line, and a half-filled environment is not taken for a ready one.
    """
    (tmp_path / "empty.txt").write_text("")
    nothing = (("--no-index", "--requirement", str(tmp_path / "empty.txt")),)
    made = provide("tool", nothing, tmp_path)
    assert made.reason is None
    assert made.python.exists()
    mark = tmp_path / "tool" / "mark"
    mark.touch()
    assert provide("tool", nothing, tmp_path) == made
    assert mark.exists()
    failed = provide("tool", (*nothing, ("--no-index", "there-is-no-such-package")), tmp_path)
    assert failed.reason == "not installed: No matching distribution found for there-is-no-such-package"
    assert not mark.exists()
    assert list((tmp_path / "tool").glob("ready*")) == []
