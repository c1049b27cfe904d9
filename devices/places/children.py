"""Child processes: steps that must succeed and never outlive their work, and one whose output is wanted as it comes."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from devices.errors import EnvironmentFault
from devices.places.place import Finished, OnLine

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
                process.kill()

    def run(self, command: Sequence[str], folder: Path | None = None, *, must_succeed: bool = True) -> None:
        """Run a command to its end.

        Raises:
            EnvironmentFault: E-PLACE-EMULATION-SETUP, it failed; E-PLACE-EMULATION-DISK, for want of room.
        """
        with self._lock:
            if self._ended:
                raise failed(command[0], "stopped before its end")
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**os.environ, "LC_ALL": "C"},
            )
            self._running.add(process)
        written, _ = process.communicate()
        with self._lock:
            self._running.discard(process)
        if process.returncode and must_succeed:
            raise failed(" ".join(command[:1]), written)


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


def run(command: Sequence[str], folder: Path, on_line: OnLine, timeout: float | None) -> Finished | None:
    """Run a command to its end, or kill it after `timeout` seconds and return None.

    `on_line` gets each line of stderr while it runs, in the caller's thread.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe) as process:
        late = threading.Event()
        written: list[bytes] = []
        reader = threading.Thread(target=lambda: written.append(_rest(process)), daemon=True)

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(timeout or 0.0, end)
        try:
            reader.start()
            if timeout is not None:
                timer.start()
            lines = _lines(process, on_line)
            process.wait()
        finally:
            timer.cancel()
            process.kill()
            reader.join()
    return None if late.is_set() else Finished(process.returncode, b"".join(written), "".join(lines))


def _lines(process: subprocess.Popen[bytes], on_line: OnLine) -> list[str]:
    lines = []
    for raw in process.stderr or ():
        lines.append(raw.decode("utf-8", "replace"))
        on_line(lines[-1].rstrip("\n"))
    return lines


def _rest(process: subprocess.Popen[bytes]) -> bytes:
    return process.stdout.read() if process.stdout else b""
