"""What every place must do: a class of tests for each kind of place to inherit, with a fixture `place` of its own."""

from __future__ import annotations

import pytest

from devices.errors import EnvironmentFault
from devices.places.place import Place

_WAITS = """
import pathlib, sys, time
print("first", file=sys.stderr, flush=True)
while not pathlib.Path("go").exists():
    time.sleep(0.01)
print("second", file=sys.stderr, flush=True)
"""


def ignored(line: str) -> None:
    """Drop a line."""


class PlaceContract:
    """Tests that hold for a place of any kind; `place` is one that is not open yet."""

    def test_files_go_in_and_come_out_as_they_were(self, place: Place) -> None:
        """Any bytes, an empty file included; a second `put` replaces the first."""
        with place:
            for data in (bytes(range(256)) * 300, b"", b"line\r\n"):
                place.put("file.bin", data)
                assert place.get("file.bin") == data

    def test_a_file_that_is_not_there_is_a_clear_error(self, place: Place) -> None:
        """Its code begins with E-PLACE, and it names the file."""
        with place, pytest.raises(EnvironmentFault, match=r"nowhere\.txt") as caught:
            place.get("nowhere.txt")
        assert caught.value.code.startswith("E-PLACE-")

    def test_python_runs_in_the_folder_with_its_arguments(self, place: Place) -> None:
        """It reads what was put, writes what can be got, and its stdout comes back as bytes."""
        script = "import sys; open('out', 'w').write(open('in').read() + sys.argv[1]); print('done')"
        with place:
            place.put("in", b"one ")
            place.put("script.py", script.encode())
            finished = place.python(["script.py", "two words"], ignored)
            assert (finished.status, finished.stdout, finished.stderr) == (0, b"done\n", "")
            assert place.get("out") == b"one two words"

    def test_lines_of_stderr_come_while_it_runs(self, place: Place) -> None:
        """The process waits for a file that is put when its first line has come."""
        seen = []

        def answer(line: str) -> None:
            seen.append(line)
            place.put("go", b"")

        with place:
            place.put("script.py", _WAITS.encode())
            finished = place.python(["script.py"], answer, timeout=60)
        assert seen == ["first", "second"]
        assert finished.stderr == "first\nsecond\n"

    def test_an_exit_status_is_told(self, place: Place) -> None:
        """A failing command is no error of the place."""
        with place:
            assert place.python(["-c", "import sys; sys.exit('so it is')"], ignored).status == 1

    def test_the_signal_that_killed_it_is_told(self, place: Place) -> None:
        """As a negative number, or as a shell says it, with 128 added."""
        with place:
            assert place.python(["-c", "import os; os.kill(os.getpid(), 9)"], ignored).status in (-9, 137)

    def test_a_command_that_takes_too_long_is_stopped(self, place: Place) -> None:
        """The error says so, and the place can be used further."""
        with place:
            with pytest.raises(EnvironmentFault) as caught:
                place.python(["-c", "import time; time.sleep(1000)"], ignored, timeout=1)
            assert caught.value.code == "E-PLACE-TIMEOUT"
            assert place.python(["-c", "print(1)"], ignored).stdout == b"1\n"
