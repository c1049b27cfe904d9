"""One daemon in a state folder, and what runs leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.errors import EnvironmentFault
from edge_runtime.state_folder import StateFolder, read_record, record_file

HOLD = (
    "import sys, pathlib\n"
    "from edge_runtime.state_folder import StateFolder\n"
    "with StateFolder(pathlib.Path(sys.argv[1]), 'daemon') as state:\n"
    "    print(state.unclean_starts, flush=True)\n"
    "    sys.stdin.read()\n"
)


def hold(folder: Path) -> subprocess.Popen[str]:
    """Return a process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_a_run_that_leaves_nothing_leaves_nothing(tmp_path: Path) -> None:
    """A folder that was not there is not there afterwards, with a clean end as with an error that was foreseen."""
    folder = tmp_path / "a" / "state"
    with StateFolder(folder, "daemon"):
        assert sorted(file.name for file in folder.iterdir()) == ["daemon.runs.json", "edge-runtime.lock"]
    assert not folder.exists()
    with pytest.raises(EnvironmentFault, match="no broker"), StateFolder(folder, "daemon"):
        raise EnvironmentFault("E-BROKER-REFUSED", "no broker", "start it")
    assert not folder.exists()


def test_a_second_daemon_is_refused_and_the_first_unharmed(tmp_path: Path) -> None:
    """Also under another configuration's name; the error names the process that is there."""
    first = hold(tmp_path)
    with pytest.raises(EnvironmentFault) as caught, StateFolder(tmp_path, "other"):
        pass
    assert caught.value.code == "E-STATE-LOCKED"
    assert f"process {first.pid}," in caught.value.message
    assert (tmp_path / "edge-runtime.lock").read_text() == str(first.pid)
    assert first.communicate("")[0] == ""
    assert first.returncode == 0
    with StateFolder(tmp_path, "other"):
        assert (tmp_path / "edge-runtime.lock").read_text() == str(os.getpid())


def test_killed_runs_are_counted_until_one_ends_in_order(tmp_path: Path) -> None:
    """A killed daemon leaves lock and record behind: neither stops the next one, and each is counted once."""
    for _ in range(3):
        process = hold(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    with StateFolder(tmp_path, "daemon") as state:
        assert state.unclean_starts == 3
        state.last_words = b'{"state":"ok"}'
    with StateFolder(tmp_path, "daemon") as state:
        assert state.unclean_starts == 0
    record = read_record(record_file(tmp_path, "daemon"))
    assert (record.unclean, record.last_words) == ((), b'{"state":"ok"}')


def test_an_error_nobody_foresaw_is_no_end_in_order(tmp_path: Path) -> None:
    """A daemon that fails again and again in the same way is in a loop, too."""
    with pytest.raises(EnvironmentFault), StateFolder(tmp_path, "daemon"):
        raise EnvironmentFault("E-DAEMON-WORKER", "boom", "report it")
    with pytest.raises(ZeroDivisionError), StateFolder(tmp_path, "daemon"):
        raise ZeroDivisionError
    with StateFolder(tmp_path, "daemon") as state:
        assert state.unclean_starts == 2


@pytest.mark.parametrize("content", [b"", b"{", b'{"unclean": "many"}', b'{"unclean": [1e300, -5, 9e9]}'])
def test_a_damaged_or_strange_record_counts_for_nothing(tmp_path: Path, content: bytes) -> None:
    """Nor does a clock that went back: starts in the future are not of the last ten minutes."""
    record_file(tmp_path, "daemon").write_bytes(content)
    with StateFolder(tmp_path, "daemon") as state:
        assert state.unclean_starts == 0


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / "state").write_text("")
    with pytest.raises(EnvironmentFault) as caught, StateFolder(tmp_path / "state", "daemon"):
        pass
    assert caught.value.code == "E-FILE-WRITE"
