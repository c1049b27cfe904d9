"""Child processes with a time limit, and what they used."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TRACEBACK = "Traceback (most recent call last):"
_LONGEST_REASON = 200
_POLL_SECONDS = 0.01
_NOT_STARTED = 127  # a shell's status for a command that is not there


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        status: Exit status; negative is a signal, None is the time limit.
        output: Everything it printed, both streams.
        seconds: From its start to its end, imports included.
        peak_bytes: Its largest resident memory.
    """

    status: int | None
    output: str
    seconds: float
    peak_bytes: int

    @property
    def reason(self) -> str | None:
        """Return why it failed, in one line; None where it did not."""
        if self.status == 0:
            return None
        if self.status is None:
            return f"stopped after {self.seconds:.0f} s"
        how = f"killed by {signal.Signals(-self.status).name}: " if self.status < 0 else ""
        return f"{how}{_last_words(self.output)}"[:_LONGEST_REASON]


def run(command: Sequence[str], folder: Path, timeout: float, variables: Mapping[str, str] | None = None) -> Ended:
    """Run a command in a folder; past the time limit it is killed with all it started.

    Peak memory is the kernel's `ru_maxrss`. It counts from the fork on, so a parent larger than its child would hide
    the child's own peak: whoever calls this keeps models and data out of its own memory.
    """
    begin = time.monotonic()
    with tempfile.TemporaryFile() as output:
        try:
            child = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(variables or {})},
                start_new_session=True,
            )
        except OSError as error:
            return Ended(_NOT_STARTED, str(error), 0.0, 0)
        status = None
        try:
            status, peak = _wait(child.pid, begin + timeout)
        finally:  # the time is over, or somebody pressed Ctrl-C
            if status is None:
                os.killpg(child.pid, signal.SIGKILL)
                _, peak = _wait(child.pid, None)
            child.returncode = 0  # it was waited for here; Popen must not wait again
        output.seek(0)
        text = output.read().decode(errors="replace")
    return Ended(status, text, time.monotonic() - begin, peak)


def _last_words(output: str) -> str:
    """Return the line that says what went wrong: the last exception, else edgeopt's error, else the last line."""
    _, found, frames = output.rpartition(_TRACEBACK)
    if found:  # all but the exception itself is indented
        return next((line for line in frames.splitlines() if line[:1].strip()), "no exception")
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error ")]
    return (errors or lines or ["no output"])[-1]


def _wait(child: int, until: float | None) -> tuple[int | None, int]:
    """Return exit status and peak memory, or None where the time is over first."""
    while True:
        found, status, usage = os.wait4(child, 0 if until is None else os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024
        if until is not None and time.monotonic() >= until:
            return None, 0
        time.sleep(_POLL_SECONDS)
