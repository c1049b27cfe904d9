"""Node-RED where it is, and in words where it is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.load import nodered
from edge_runtime.errors import BadInput


def test_without_node_the_row_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The load test runs all the same."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert nodered.find(None) == "not installed: node"


def test_a_folder_without_the_packages_is_refused_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who names a folder means it; what is missing there is named."""
    monkeypatch.setattr(shutil, "which", lambda name: name)
    (tmp_path / "node-red").mkdir()
    with pytest.raises(BadInput, match="does not hold onnxruntime-node") as refused:
        nodered.find(tmp_path)
    assert refused.value.code == "E-LOAD-NODE-MODULES"
    (tmp_path / "onnxruntime-node").mkdir()
    assert callable(nodered.find(tmp_path))
