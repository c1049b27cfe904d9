"""`edgeopt demo` as a user runs it: it shows what it promises, ends, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-c", "from optimizer.cli.main import main; main(prog_name='edgeopt')", "demo"]
PREDICTION = re.compile(r"^ +\d\d:\d\d:\d\d  (pump-\d)  (\w+) .*?(ALARM)?", re.MULTILINE)


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start a demo whose temporary files go to `folder`, in a pipe, on a terminal that can do nothing."""
    return subprocess.Popen(
        [*COMMAND, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder), "TERM": "dumb", "PYTHONUNBUFFERED": "1"},
    )


def read_until(process: subprocess.Popen[str], word: str) -> str:
    """Return the output up to the line that holds a word."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if word in line:
            return "".join(lines)
    raise AssertionError(f"{word!r} never came:\n{''.join(lines)}{process.stderr.read() if process.stderr else ''}")


def daemon_is_gone(output: str) -> bool:
    """Tell whether the daemon that the output names no longer runs."""
    number = re.search(r"\(process (\d+)\)", output)
    assert number is not None
    return not Path(f"/proc/{number[1]}").exists()


def test_it_shows_predictions_a_fault_and_its_alarm(tmp_path: Path) -> None:
    """Healthy predictions come before the damage, the alarm of the damaged pump after it, and no other alarm."""
    process = start(tmp_path)
    output, errors = process.communicate()
    assert process.returncode == 0, output + errors
    before, after = output.split("Damage the bearing")
    assert len(PREDICTION.findall(before)) > 6
    assert "ALARM" not in before
    alarms = [line for line in after.splitlines() if "ALARM" in line]
    assert re.search(r"pump-2  outer_race_fault .* ALARM  \d+\.\d\d s after the damage", alarms[0])
    assert all("pump-2" in line for line in alarms)
    assert re.search(r"mosquitto_sub -h 127\.0\.0\.1 -p \d+ -t 'edgeopt/#' -v", output)
    assert '"state": "stopped"' in output
    assert '"predictions": ' in output
    assert "\x1b" not in output
    assert errors == ""
    assert daemon_is_gone(output)
    assert list(tmp_path.iterdir()) == []


def test_keep_running_goes_on_until_ctrl_c_and_ends_well(tmp_path: Path) -> None:
    """After the alarm it goes on; Ctrl-C is the way to end it, and no failure."""
    process = start(tmp_path, "--keep-running")
    output = read_until(process, "going on until Ctrl-C") + read_until(process, "pump-1")
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate()
    assert process.returncode == 0, output + rest + errors
    assert '"state": "stopped"' in rest
    assert daemon_is_gone(output)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_in_the_middle_it_cleans_up(tmp_path: Path, number: signal.Signals) -> None:
    """Daemon and files go, there is no traceback, and the exit status says that it was interrupted."""
    process = start(tmp_path)
    output = read_until(process, "pump-2  normal")
    process.send_signal(number)
    rest, errors = process.communicate()
    assert process.returncode == 130, output + rest + errors
    assert "Traceback" not in errors
    assert daemon_is_gone(output)
    assert list(tmp_path.iterdir()) == []


def test_a_daemon_that_dies_is_an_error_with_its_log(tmp_path: Path) -> None:
    """Whatever happens to the daemon is said with a code, never waited for."""
    process = start(tmp_path)
    output = read_until(process, "pump-2  normal")
    number = re.search(r"\(process (\d+)\)", output)
    assert number is not None
    os.kill(int(number[1]), signal.SIGKILL)
    rest, errors = process.communicate()
    assert process.returncode == 5, rest + errors
    assert "E-DEMO-DAEMON" in errors
    assert list(tmp_path.iterdir()) == []
