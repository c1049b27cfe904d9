"""The continuous check runs what the README says, against a real broker."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEST_COMMAND = "python3 -m venv .venv && .venv/bin/pip install '.[all,test]' && .venv/bin/pytest"


def test_the_readme_has_exactly_one_test_command() -> None:
    """.ci/run takes the command from the README, so the two cannot differ: it stands there once, on its own line."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert lines.count(TEST_COMMAND) == 1
    assert [line for line in lines if line.startswith("python3 -m venv .venv")] == [TEST_COMMAND]


def test_the_check_is_sound_shell() -> None:
    """The script parses and can be run as a program."""
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=60)


@pytest.mark.skipif("CI" not in os.environ, reason="holds for the continuous check only (CI is not set)")
def test_the_continuous_check_has_mosquitto() -> None:
    """There, broker tests must run against mosquitto, not against the embedded fallback."""
    assert shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    assert shutil.which("mosquitto_sub")


@pytest.mark.skipif("CI" not in os.environ, reason="holds for the continuous check only (CI is not set)")
def test_the_continuous_check_has_a_browser() -> None:
    """There, the report's page must be opened, not skipped."""
    assert shutil.which("chromium")


@pytest.mark.skipif("CI" not in os.environ, reason="holds for the continuous check only (CI is not set)")
def test_the_continuous_check_can_emulate_boards() -> None:
    """There, the emulated boards must run, not be skipped: Debian's tools set them up, a C compiler counts."""
    assert [name for name in ("apt-get", "dpkg", "gcc") if shutil.which(name) is None] == []


@pytest.mark.skipif("CI" not in os.environ, reason="holds for the continuous check only (CI is not set)")
def test_the_continuous_check_has_an_ssh_server_and_every_extra() -> None:
    """There, places over ssh, the other engine and the cluster must run, not be skipped."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    assert [name for name in ("ssh", "sshd", "ssh-keygen") if shutil.which(name, path=path) is None] == []
    assert [name for name in ("openvino", "distributed") if importlib.util.find_spec(name) is None] == []


@pytest.mark.skipif("CI" not in os.environ, reason="holds for the continuous check only (CI is not set)")
def test_the_continuous_check_can_judge_the_service_unit() -> None:
    """There, systemd must say how closed the unit is, and its filter must be tried."""
    assert shutil.which("systemd-analyze")
