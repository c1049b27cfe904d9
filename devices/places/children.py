"""Child processes that set something up: each must succeed, and none outlives the work it is part of."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from devices.errors import EnvironmentFault

_DISK_FULL = ("No space left on device", "enough free space")
_TELLING = ("E:", "W: Failed", "Err:", "ERROR", "dpkg")  # how apt, pip and dpkg begin the lines that say why
_SHOWN = 3


class Children:
    """Commands that are run to their end, from any thread; those still running at the end of ``with`` are killed."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._ended = False

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._ended = True
            for process in self._running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # what it started, as apt-get does, writes files as well
            for process in self._running:
                process.wait()

    def run(self, command: Sequence[str], folder: Path | None = None, *, must_succeed: bool = True) -> None:
        """Run a command to its end.

        Raises:
            EnvironmentFault: E-PLACE-EMULATION-SETUP, it failed; E-PLACE-EMULATION-DISK, for want of room.
        """
        process = self._start(command, folder)
        written, _ = process.communicate()
        with self._lock:
            self._running.discard(process)
        if process.returncode and must_succeed:
            raise failed(command[0], written)

    def _start(self, command: Sequence[str], folder: Path | None) -> subprocess.Popen[str]:
        with self._lock:
            if self._ended:
                raise failed(command[0], "stopped before its end")
            try:
                process = subprocess.Popen(
                    command,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    env={**os.environ, "LC_ALL": "C"},
                    start_new_session=True,
                )
            except OSError as error:
                raise failed(command[0], f"it cannot be started: {error.strerror or error}") from error
            self._running.add(process)
            return process


def failed(program: str, written: str) -> EnvironmentFault:
    """Return the error for a step of the setup that failed, with the lines that say why."""
    if any(words in written for words in _DISK_FULL):
        return disk_full()
    lines = [line.strip() for line in written.splitlines() if line.strip()]
    why = [line for line in lines if line.startswith(_TELLING)] or lines
    return EnvironmentFault(
        "E-PLACE-EMULATION-SETUP",
        f"the emulated place could not be set up, {Path(program).name} failed: {'; '.join(why[-_SHOWN:])[:600]}",
        "check that `apt-get update` and `python3 -m pip download numpy` reach their servers here, then start again",
    )


def disk_full() -> EnvironmentFault:
    """Return the error for a disk without room for the sandbox."""
    return EnvironmentFault(
        "E-PLACE-EMULATION-DISK",
        "there is no room to set up the emulated place, which takes 200 MB, and 500 MB while it is made",
        "make room, or name a folder on another disk: export XDG_CACHE_HOME=FOLDER",
    )
