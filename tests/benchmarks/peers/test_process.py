"""Children: what they used, how they failed, and that none outlives its time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.peers.process import run

TIMEOUT = 60.0


def python(code: str, folder: Path, timeout: float = TIMEOUT) -> tuple[int | None, str | None]:
    """Run code in a child and return its status and the reason it failed for."""
    ended = run([sys.executable, "-c", code], folder, timeout)
    return ended.status, ended.reason


def test_a_child_that_succeeds_has_no_reason(tmp_path: Path) -> None:
    """Its output, time and memory are kept."""
    ended = run([sys.executable, "-c", "import sys; print('out'); sys.stderr.write('err')"], tmp_path, TIMEOUT)
    assert (ended.status, ended.reason) == (0, None)
    assert "out" in ended.output
    assert "err" in ended.output
    assert ended.seconds > 0


# In a small process of its own: a parent larger than the child would hide the child's peak, and a test run is large.
PEAKS = """
import sys
from pathlib import Path
from benchmarks.peers.process import run
for code in ("pass", "x = b'x' * 300_000_000; del x"):
    print(run([sys.executable, "-c", code], Path(), 60.0).peak_bytes)
"""


def test_peak_memory_is_the_childs_largest() -> None:
    """A child that fills 300 MB and lets them go is seen to have had them."""
    root = Path(__file__).resolve().parents[3]
    found = subprocess.run([sys.executable, "-c", PEAKS], cwd=root, capture_output=True, text=True, check=True)
    small, large = map(int, found.stdout.split())
    assert small < 100_000_000
    assert large > 300_000_000


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ValueError('no scale')", "ValueError: no scale"),
        ("print('half done'); raise SystemExit(3)", "half done"),
        ("raise SystemExit(3)", "no output"),
        ("print('error E-X: broken\\n  fix: repair it'); raise SystemExit(3)", "error E-X: broken"),
        ("try: 1 / 0\nexcept ZeroDivisionError as e: raise OSError('a\\nb') from e", "OSError: a"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL: no output"),
    ],
)
def test_a_failure_has_a_reason_in_one_line(code: str, reason: str, tmp_path: Path) -> None:
    """The exception where there is one, else the last words, else the signal."""
    status, found = python(code, tmp_path)
    assert status != 0
    assert found == reason


def test_a_command_that_is_not_there_fails_like_any_other(tmp_path: Path) -> None:
    """The reason names it; nothing is raised."""
    ended = run(["no-such-command"], tmp_path, TIMEOUT)
    assert ended.status != 0
    assert "no-such-command" in (ended.reason or "")


def test_a_child_over_its_time_ends_with_all_it_started(tmp_path: Path) -> None:
    """Its own children are killed too, and the reason is the time."""
    code = (
        "import subprocess, sys, pathlib, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "pathlib.Path('pid').write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    status, reason = python(code, tmp_path, timeout=3.0)
    assert status is None
    assert reason is not None
    assert reason.startswith("stopped after")
    assert _ends(int((tmp_path / "pid").read_text()))


def _ends(process: int) -> bool:
    """Wait for a process that is not ours to vanish."""
    for _ in range(100):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False
