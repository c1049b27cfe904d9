"""The command as a user types it, in child processes, on a small model with data."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from models import images, residual_convnet

_MAIN = "from optimizer.cli.main import main; main(prog_name='edgeopt')"
EDGEOPT = (sys.executable, "-c", _MAIN)
# Starts processes for the second form already, not only where they would be worth their start.
IN_PROCESSES = (sys.executable, "-c", f"from optimizer import executor; executor._WORTH_PROCESSES = -1.0; {_MAIN}")

DATA = ("--calibration", "calib.npz", "--evaluation", "test.npz")
# No form meets this budget, so the whole ladder of repairs is climbed: dozens of forms are made and judged.
SEARCH = ("quantize", "net.onnx", *DATA, "--metric", "mae", "--max-drop", "0.0001pt")


def prepared(folder: Path) -> Path:
    """Write net.onnx, calib.npz and test.npz, labelled with the model's own float32 outputs."""
    from edge_runtime.inference.ort import OrtEngine

    model = residual_convnet()
    onnx.save_model(model, folder / "net.onnx")
    x = images(60, seed=1)
    np.savez(folder / "calib.npz", x=images(40))
    np.savez(folder / "test.npz", x=x, y=OrtEngine(model.SerializeToString()).run({"x": x})["y"])
    return folder


def run(
    *arguments: str, folder: Path, command: tuple[str, ...] = EDGEOPT, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run edgeopt in a folder to its end."""
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, cwd=folder, check=False, timeout=200, **options
    )


def started(*arguments: str, folder: Path, command: tuple[str, ...] = EDGEOPT) -> subprocess.Popen[str]:
    """Start edgeopt in a folder, in a process group of its own as a shell does."""
    return subprocess.Popen(
        [*command, *arguments],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def alive_in_group(group: int) -> list[int]:
    """Return the processes of a group that still run."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    return [int(pid) for pid, of_group, state in rows if int(of_group) == group and not state.startswith("Z")]


def dask_cluster() -> Iterator[str]:
    """Run a Dask scheduler and two workers on this machine; yield its address as a user types it."""
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1"
    ) as running:
        yield running.scheduler_address.replace("tcp://", "dask://")


def with_environment(**variables: str) -> dict[str, str]:
    """Return this process's environment with some variables set."""
    return {**os.environ, **variables}
