"""`edgeopt quantize --target ssh://…` against a real sshd."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from commands import EDGEOPT
from models import images, residual_convnet

from edge_runtime.package import archive

sys.path.insert(0, str(Path(__file__).parents[2] / "devices" / "places"))

from sshd import Sshd


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a model and its data."""
    onnx.save_model(residual_convnet(), tmp_path / "net.onnx")
    np.savez(tmp_path / "calib.npz", x=images(40))
    return tmp_path


def test_the_board_measures_and_verifies_and_keeps_nothing(folder: Path) -> None:
    """Times are measured there, the chosen form's answers are held against those here, and its disk is as it was."""
    machine = folder / "machine"
    machine.mkdir()
    board = Sshd(machine)
    try:
        options = ("--calibration", "calib.npz", "--effort", "quick", "--no-cache", "--target", "ssh://board")
        environment = {**os.environ, "EDGEOPT_SSH_CONFIG": str(board.config)}
        command = [*EDGEOPT, "quantize", "net.onnx", *options]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        board.wait_until_nothing_is_left()
    finally:
        board.stop()
    assert done.returncode == 0, done.stderr
    manifest = archive.read(folder / "net.edgepkg").manifest
    variant = manifest.variants[0]
    assert manifest.target == "ssh://board"
    assert variant.latency is not None
    assert (variant.latency.label, variant.latency.quantity) == ("measured", "time")
    assert [(one.place, one.label, one.exact, one.samples) for one in variant.evidence] == [
        ("ssh://board", "measured", True, 40)
    ]
    assert "ssh://board, while it was timed:" in done.stdout
