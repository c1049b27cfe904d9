"""This machine as a place: a temporary folder and this Python."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from devices.errors import EnvironmentFault
from devices.places.place import Finished, Label, OnLine


class LocalPlace:
    """Runs commands here, in a folder of their own and a process group of their own; see the contract in place.py."""

    name = "local"
    label: Label = "measured"

    def __init__(self) -> None:
        self._folder: Path | None = None

    def __enter__(self) -> LocalPlace:
        """Make the working folder.

        Raises:
            EnvironmentFault: E-PLACE-FOLDER.
        """
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="edgeopt-"))
        except OSError as error:
            raise _no_room("make a folder for temporary files", error) from error
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the working folder."""
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def put(self, name: str, data: bytes) -> None:
        """Write a file into the working folder.

        Raises:
            EnvironmentFault: E-PLACE-FOLDER, it cannot be written.
        """
        try:
            self._file(name).write_bytes(data)
        except OSError as error:
            raise _no_room(f"write {name}", error) from error

    def get(self, name: str) -> bytes:
        """Read a file of the working folder.

        Raises:
            EnvironmentFault: E-PLACE-NO-FILE, it is not there or cannot be read.
        """
        try:
            return self._file(name).read_bytes()
        except OSError as error:
            raise EnvironmentFault(
                "E-PLACE-NO-FILE",
                f"there is no file {name} at {self.name}: {error.strerror or error}",
                "run the command again; if it stays, run it with --debug before the verb and report what it shows",
            ) from error

    def python(self, arguments: Sequence[str], on_line: OnLine, timeout: float | None = None) -> Finished:
        """Run this Python in the working folder; whatever it started ends with it.

        Raises:
            EnvironmentFault: E-PLACE-TIMEOUT, it took longer than `timeout` seconds; E-PLACE-FOLDER, it cannot start.
        """
        try:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self._file("."),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise _no_room("start Python", error) from error
        run = _Run(process, timeout)
        try:
            stderr = run.lines(on_line)
        finally:
            run.end()
        if run.timed_out:
            raise EnvironmentFault(
                "E-PLACE-TIMEOUT",
                f"{self.name}: Python had not finished after {timeout:g} s and was stopped",
                "check what else runs there: top; then run the command again",
            )
        return Finished(process.returncode, run.stdout, stderr)

    def _file(self, name: str) -> Path:
        if self._folder is None:
            raise RuntimeError("open the place first: with place: ...")
        return self._folder / name


class _Run:
    """A running process with its group: whoever waits, the group is gone when the process is, or when time is up."""

    def __init__(self, process: subprocess.Popen[bytes], timeout: float | None) -> None:
        self.timed_out = False
        self.stdout = b""
        self._process = process
        self._threads = (
            threading.Thread(target=self._watch, args=(timeout,), daemon=True),
            threading.Thread(target=self._read_stdout, daemon=True),
        )
        for thread in self._threads:
            thread.start()

    def lines(self, on_line: OnLine) -> str:
        """Hand on each line of stderr as it comes and return them all."""
        lines = []
        if self._process.stderr is not None:
            for raw in self._process.stderr:
                lines.append(raw.decode("utf-8", errors="replace"))
                on_line(lines[-1].rstrip("\r\n"))
        return "".join(lines)

    def end(self) -> None:
        """End what still runs, as after an interrupt, and wait until it is gone."""
        self._kill()
        for thread in self._threads:
            thread.join()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _watch(self, timeout: float | None) -> None:
        """Wait for the process, then end what it left running: it holds our pipes open."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.timed_out = True
        self._kill()
        self._process.wait()

    def _read_stdout(self) -> None:
        if self._process.stdout is not None:
            self.stdout = self._process.stdout.read()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # it leads its own group


def _no_room(what: str, error: OSError) -> EnvironmentFault:
    return EnvironmentFault(
        "E-PLACE-FOLDER",
        f"cannot {what} on this machine: {error.strerror or error}",
        "make room in the folder for temporary files, or name another: TMPDIR=FOLDER",
    )
