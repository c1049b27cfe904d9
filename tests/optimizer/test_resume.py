"""Runs that end early: killed, interrupted, terminated. Nothing half-written stays, and the rerun goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from commands import EDGEOPT, IN_PROCESSES, SEARCH, alive_in_group, dask_cluster, prepared, run, started

INPUTS = ["calib.npz", "net.onnx", "test.npz"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a model and data."""
    return prepared(tmp_path)


def _started_until(
    entries: int, folder: Path, command: tuple[str, ...] = EDGEOPT, executor: str = "local"
) -> subprocess.Popen[str]:
    """Start a search and return once so many entries are in its cache."""
    process = started(*SEARCH, "--cache", "cache", "--executor", executor, folder=folder, command=command)
    deadline = time.monotonic() + 60
    while len(list((folder / "cache").glob("judged-*"))) < entries:
        assert process.poll() is None, f"ended before it could be stopped: {process.communicate()}"
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return process


def _files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if file.name != "cache")


def _gone(group: int) -> bool:
    """Tell whether all processes of a group end within a few seconds."""
    deadline = time.monotonic() + 20
    while alive_in_group(group) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive_in_group(group)


@pytest.mark.parametrize("command", [EDGEOPT, IN_PROCESSES], ids=["alone", "in processes"])
def test_a_killed_run_leaves_nothing_and_is_taken_up(folder: Path, command: tuple[str, ...]) -> None:
    """After SIGKILL there is no package, no temporary file and no orphan; the rerun finds what was done."""
    process = _started_until(2, folder, command)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert _gone(process.pid)
    assert _files(folder) == INPUTS
    kept = len(list((folder / "cache").glob("*-*")))
    again = run(*SEARCH, "--cache", "cache", folder=folder)
    assert again.returncode == 0, again.stderr
    found = re.search(r"taken from the cache: (\d+) of (\d+)", again.stdout)
    assert found, again.stdout
    assert 2 <= int(found[1]) <= kept
    assert int(found[1]) < int(found[2])
    package = (folder / "net.edgepkg").read_bytes()
    fresh = run(*SEARCH, "--no-cache", "--measurements", "net.edgepkg", "-o", "fresh.edgepkg", folder=folder)
    assert fresh.returncode == 0, fresh.stderr
    assert (folder / "fresh.edgepkg").read_bytes() == package, "going on gives what a run in one go gives"


@pytest.mark.parametrize("command", [EDGEOPT, IN_PROCESSES], ids=["alone", "in processes"])
@pytest.mark.parametrize(
    ("number", "status", "said"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_an_interrupted_run_ends_cleanly(
    folder: Path, command: tuple[str, ...], number: signal.Signals, status: int, said: str
) -> None:
    """Ctrl-C reaches the whole group as from a terminal, SIGTERM the command: a status, a sentence, nothing left."""
    process = _started_until(1, folder, command)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == status, stderr
    assert f"{said}; nothing half-written was left behind" in stderr
    assert "Traceback" not in stderr
    assert _gone(process.pid)
    assert _files(folder) == INPUTS
    assert [file.name for file in (folder / "cache").iterdir() if file.name.startswith(".")] == []


def test_ctrl_c_while_processes_start(folder: Path) -> None:
    """Processes that are only just importing say nothing either, and end."""
    process = _started_until(1, folder, IN_PROCESSES)
    deadline = time.monotonic() + 30
    while len(alive_in_group(process.pid)) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert _gone(process.pid)


def test_ctrl_c_leaves_a_cluster_as_it_was(folder: Path) -> None:
    """The command ends at once and cleanly; the cluster goes on and does the rerun."""
    for cluster in dask_cluster():
        process = _started_until(1, folder, executor=cluster)
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 130, stderr
        assert "Traceback" not in stderr
        assert _files(folder) == INPUTS
        again = run(*SEARCH, "--cache", "cache", "--executor", cluster, folder=folder)
        assert again.returncode == 0, again.stderr
        assert "taken from the cache" in again.stdout
