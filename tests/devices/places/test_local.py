"""This machine as a place."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest
from contract import PlaceContract, ignored

from devices.errors import EnvironmentFault
from devices.places.local import LocalPlace

_LEAVES_A_CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
print(child.pid, flush=True)
"""


class TestLocalPlace(PlaceContract):
    """The contract, kept by this machine."""

    @pytest.fixture
    def place(self) -> LocalPlace:
        """Return the place under test."""
        return LocalPlace()


def gone(pid: int) -> bool:
    """Tell whether a process ends within some seconds; one that nobody has waited for yet counts as ended."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_nothing_is_left_behind() -> None:
    """The working folder is gone afterwards, whatever lies in it and whatever happened."""
    with contextlib.suppress(ZeroDivisionError), LocalPlace() as place:
        place.put("file", b"data")
        folder = Path(os.fsdecode(place.python(["-c", "import os; print(os.getcwd())"], ignored).stdout.strip()))
        assert (folder / "file").exists()
        raise ZeroDivisionError
    assert not folder.exists()


def test_what_a_command_started_ends_with_it() -> None:
    """A child left running neither holds up the command nor outlives it."""
    with LocalPlace() as place:
        finished = place.python(["-c", _LEAVES_A_CHILD], ignored, timeout=60)
    assert finished.status == 0
    assert gone(int(finished.stdout))


def test_a_command_ends_when_its_reader_fails() -> None:
    """Ctrl-C while lines come in ends the process and what it started."""

    def interrupt(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    pids: list[int] = []
    script = "import os, sys, time; print(os.getpid(), file=sys.stderr, flush=True); time.sleep(1000)"
    with pytest.raises(KeyboardInterrupt), LocalPlace() as place:
        place.python(["-c", script], interrupt)
    assert gone(pids[0])


def test_no_room_for_its_folder_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error names what to do about it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(EnvironmentFault, match="TMPDIR") as caught:
        LocalPlace().__enter__()
    assert caught.value.code == "E-PLACE-FOLDER"
