"""One connection of the system's ssh: opened once, used for every command, watched from the other end."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import IO

from devices.places import ssh_faults, ssh_python
from devices.places.place import Finished, OnLine

CONNECT_SECONDS = 15
ANSWER_SECONDS = 60.0
BEAT_SECONDS = 20.0
SILENCE_SECONDS = 120.0
CLOSE_SECONDS = 20.0
_LONGEST_SOCKET_FOLDER = 60  # a Unix socket's path has 107 bytes, and ssh appends up to 17 while it makes one
# What the user's configuration says of names, keys, ports and jump hosts holds; what would ask him something, or do
# more than run a command, is off. ssh must say why it fails, but not greet.
_OPTIONS = (
    *("-T", "-x", "-a"),
    *("-o", "BatchMode=yes"),
    *("-o", f"ConnectTimeout={CONNECT_SECONDS}"),
    *("-o", "ServerAliveInterval=15"),
    *("-o", "ServerAliveCountMax=4"),
    *("-o", "LogLevel=ERROR"),
    *("-o", "ClearAllForwardings=yes"),
    *("-o", "PermitLocalCommand=no"),
    *("-o", "RemoteCommand=none"),
    *("-o", "ControlPersist=no"),
)


_SSH_FAILED = 255
_NO_PYTHON = "no python"


def _ignore(_line: str) -> None:
    """Hear a line and do nothing."""


@dataclass(frozen=True)
class Destination:
    """Where to connect to, and what that is called in errors.

    Attributes:
        place: As the user wrote it.
        host: Name, address or alias of the user's configuration.
        user: None for what the configuration says.
        port: None for what the configuration says.
        config: Read instead of the user's configuration.
    """

    place: str
    host: str
    user: str | None
    port: int | None
    config: Path | None

    @property
    def arguments(self) -> list[str]:
        """Return ssh's arguments for it."""
        return [
            *(["-F", str(self.config)] if self.config else []),
            *(["-p", str(self.port)] if self.port else []),
            *(["-l", self.user] if self.user else []),
            *("--", self.host),
        ]

    @property
    def by_hand(self) -> str:
        """Return what makes the same connection in a terminal."""
        return shlex.join(["ssh", *(word for word in self.arguments if word != "--"), "true"])


class Connection:
    """A connection, from its construction to `close`.

    Its first session is devices/places/guard.py, which makes the working folder and removes it when we are gone; all
    others go through the same connection and are one command each.

    Raises:
        EnvironmentFault: E-PLACE-SSH, -UNREACHABLE, -AUTH, -HOST-KEY or -HOST-UNKNOWN, there is no connection;
            E-PLACE-PYTHON, there is, and no Python.
    """

    def __init__(self, destination: Destination, python: str) -> None:
        self._destination = destination
        self._token = f"edgeopt-{secrets.token_hex(8)}"  # tells our lines from those of login scripts
        self._folder = Path(tempfile.mkdtemp(prefix="edgeopt-", dir=_short_folder()))
        self._ended = threading.Event()
        self._beating = threading.Thread(target=self._beat, daemon=True)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(shutil.rmtree, self._folder, ignore_errors=True)
            self._guard = self._start_guard(python)
            on_failure.callback(self.close)
            self.greeting = self._hear(python)
            on_failure.pop_all()
        self._beating.start()

    def close(self) -> None:
        """End the connection and wait until the other end has cleaned up, as long as that is sensible."""
        self._ended.set()
        if self._beating.ident:
            self._beating.join()
        _pipe(self._guard.stdin).close()
        try:
            self._guard.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()
        _pipe(self._guard.stdout).close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, script: str, data: bytes = b"", on_line: OnLine = _ignore, timeout: float | None = None) -> Finished:
        """Run a line of POSIX shell there; `data` is its standard input, `on_line` gets each line of its stderr.

        Raises:
            EnvironmentFault: E-PLACE-LOST, the connection ended first; E-PLACE-TIMEOUT, the seconds were over, and
                what ran was killed.
        """
        script = f"printf %s {self._token}; {script}; echo {self._token} $? >&2"
        # Without its master, ssh would connect anew, to a machine that has removed our folder: this makes it fail.
        command = self._ssh("-o", "ControlMaster=no", "-o", "ProxyCommand=false", script=script)
        late, status, stdout = threading.Event(), None, bytearray()
        with _started(command) as process:
            helpers = [
                threading.Thread(target=_feed, args=(process, data), daemon=True),
                threading.Thread(target=lambda: stdout.extend(_pipe(process.stdout).read()), daemon=True),
            ]
            timer = threading.Timer(timeout or 0.0, self._give_up, [late])
            try:
                for helper in helpers:
                    helper.start()
                if timeout is not None:
                    timer.start()
                lines, status = self._listen(process, on_line)
            finally:
                timer.cancel()
                if status is None:  # Ctrl-C, for instance: the pipes end when what runs there does
                    self._tell(b"k")
                    _pipe(process.stderr).read()
                for helper in helpers:
                    helper.join()
        if late.is_set():
            raise ssh_faults.late(self._destination.place, timeout or 0.0)
        if status is None:
            raise ssh_faults.lost(self._destination.place, "".join(lines) + self._written())
        return Finished(status, bytes(stdout).partition(self._token.encode())[2], "".join(lines))

    def _listen(self, process: subprocess.Popen[bytes], on_line: OnLine) -> tuple[list[str], int | None]:
        """Return the lines of stderr and the exit status, which the last one tells; None: it never came."""
        lines, status = [], None
        for raw in _pipe(process.stderr):
            line, _, ended = raw.decode("utf-8", "replace").partition(f"{self._token} ")
            if line:
                lines.append(line)
                on_line(line.rstrip("\r\n"))
            status = int(ended) if ended else status
        return lines, status

    def _give_up(self, late: threading.Event) -> None:
        late.set()
        self._tell(b"k")

    def _start_guard(self, python: str) -> subprocess.Popen[bytes]:
        """Start the master connection; its session is the guard."""
        seen = shlex.quote(python)
        missing = f"{{ echo {self._token} {_NO_PYTHON}; exit; }}"
        start = f"exec {seen} -c 'exec(eval(input()))' {self._token} {SILENCE_SECONDS}"
        command = self._ssh("-o", "ControlMaster=yes", script=f"command -v {seen} >/dev/null || {missing}; {start}")
        with (self._folder / "log").open("wb") as log:
            guard = _started(command, stderr=log)
        source = resources.files("devices.places").joinpath("guard.py").read_text(encoding="utf-8")
        with contextlib.suppress(BrokenPipeError):  # it has ended already, and its log says why
            os.write(_pipe(guard.stdin).fileno(), ascii(source).encode() + b"\n")  # fits into the pipe
        return guard

    def _hear(self, python: str) -> str:
        """Return what the guard says first."""
        place, how = self._destination.place, self._destination.by_hand
        heard, end, pipe = b"", time.monotonic() + ANSWER_SECONDS, _pipe(self._guard.stdout)
        while select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
            more = os.read(pipe.fileno(), 65536)
            heard += more
            said = heard.decode("utf-8", "replace").partition(f"{self._token} ")[2]
            if said.endswith("\n"):
                break
            if not more:
                if self._guard.wait() == _SSH_FAILED:
                    raise ssh_faults.not_connected(place, how, self._written())
                words = heard.decode("utf-8", "replace") + self._written()
                raise ssh_python.unusable(place, python, ssh_faults.last_words(words))
        else:
            self._guard.kill()
            raise ssh_faults.no_answer(place, how, ANSWER_SECONDS)
        if said.strip() == _NO_PYTHON:
            raise ssh_python.no_python(place, python)
        return said

    def _written(self) -> str:
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")

    def _ssh(self, *options: str, script: str) -> list[str]:
        socket = str(self._folder / "s").replace("%", "%%")
        command = f"exec sh -c {shlex.quote(f'LC_ALL=C; export LC_ALL; {script}')}"
        return ["ssh", *_OPTIONS, *options, "-o", f"ControlPath={socket}", *self._destination.arguments, command]

    def _tell(self, word: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # the next command finds that the connection is gone
            os.write(_pipe(self._guard.stdin).fileno(), word)

    def _beat(self) -> None:
        """Show the guard that we are there: a network that goes away in silence ends no connection at its end."""
        while not self._ended.wait(BEAT_SECONDS):
            self._tell(b".")


def _started(command: Sequence[str], stderr: int | IO[bytes] = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """Start ssh in a session of its own: Ctrl-C is for us, who then end it in order."""
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=stderr, start_new_session=True)
    except FileNotFoundError as error:
        raise ssh_faults.no_ssh() from error


def _feed(process: subprocess.Popen[bytes], data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), _pipe(process.stdin) as pipe:  # its exit status will say why
        pipe.write(data)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise ValueError("the process was started without this pipe")
    return pipe


def _short_folder() -> str | None:
    """Return where the socket can lie, None for the usual temporary folder."""
    return None if len(tempfile.gettempdir()) <= _LONGEST_SOCKET_FOLDER else "/tmp"  # noqa: S108 - mkdtemp is private
