"""Another machine, reached with the system's ssh: a folder there, files in and out, its own Python."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from devices.places import ssh_faults, ssh_python
from devices.places.place import Finished, Label, OnLine
from devices.places.ssh_connection import Connection, Destination
from devices.places.ssh_python import RemotePython

PYTHON = "python3"
# Importing onnxruntime would leave its reporting's files in the home and temporary folders, and report.
_LEAVE_NOTHING = "ORT_DISABLE_TELEMETRY=1 PYTHONDONTWRITEBYTECODE=1"
_SIGNALS = range(129, 193)  # a shell's exit status for a command that signal n ended is 128 + n


class SshPlace:
    """The machine at the other end of ssh, while open; nothing of ours stays there.

    Keys, known hosts, user names, ports and jump hosts are what the user's ssh configuration says; nothing is asked.

    Args:
        user: None for what the configuration says.
        host: Name, address, or alias of the configuration.
        port: None for what the configuration says.
        python: The interpreter there; a relative path begins at the user's home folder.
        config: An ssh configuration to read instead of the user's.
    """

    label: Label = "measured"

    def __init__(
        self, user: str | None, host: str, port: int | None = None, python: str = PYTHON, config: Path | None = None
    ) -> None:
        address = (f"{user}@" if user else "") + (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
        self.name = f"ssh://{address}" + (f"?python={python}" if python != PYTHON else "")
        self._destination = Destination(self.name, host, user, port, config)
        self._python = python.removeprefix("~/")  # commands begin in the home folder
        self._folder = ""
        self._connection: Connection | None = None

    def __enter__(self) -> SshPlace:
        """Connect, see that its Python can run models, and make the working folder.

        Raises:
            EnvironmentFault: E-PLACE-SSH, -UNREACHABLE, -AUTH, -HOST-KEY, -HOST-UNKNOWN: there is no connection;
                E-PLACE-PYTHON, -ARM32, -ONNXRUNTIME: no Python there can run models; E-PLACE-FOLDER.
        """
        self._connection = Connection(self._destination, self._python)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self._close)
            said = json.loads(self._connection.greeting)
            said.update(version=tuple(said["version"]), missing=tuple(said["missing"]))
            found = RemotePython(**said)
            fault = ssh_python.unfit(self.name, found)
            if fault:
                raise fault
            on_failure.pop_all()
        self._python, self._folder = found.executable, found.folder
        return self

    def __exit__(self, *error: object) -> None:
        """Close the connection; the guard at its other end kills what runs and removes the folder."""
        self._close()

    def put(self, name: str, data: bytes) -> None:
        """Write a file into the working folder, and the folders it lies in.

        Raises:
            EnvironmentFault: E-PLACE-DISK-FULL, -FOLDER or -LOST.
        """
        path = self._path(name)
        folder = shlex.quote(str(PurePosixPath(path).parent))
        ended = self._open.run(f"mkdir -p {folder} && {self._mark} cat > {shlex.quote(path)}", data)
        if ended.status:
            full = ssh_faults.no_room(self.name, ended.stderr)
            raise full or ssh_faults.not_written(self.name, name, ended.stderr)

    def get(self, name: str) -> bytes:
        """Read a file of the working folder.

        Raises:
            EnvironmentFault: E-PLACE-NO-FILE or -LOST.
        """
        ended = self._open.run(f"{self._mark} cat {shlex.quote(self._path(name))}")
        if ended.status:
            raise ssh_faults.no_file(self.name, name, ended.stderr)
        return ended.stdout

    def python(self, arguments: Sequence[str], on_line: OnLine, timeout: float | None = None) -> Finished:
        """Run the Python there in the working folder; `on_line` gets each line of stderr while it runs.

        Raises:
            EnvironmentFault: E-PLACE-TIMEOUT, -LOST, or E-PLACE-DISK-FULL, which it failed for.
        """
        folder, command = shlex.quote(self._folder), shlex.join([self._python, *arguments])
        script = f"cd {folder} && {self._mark} TMPDIR={folder} {_LEAVE_NOTHING} {command}"
        ended = self._open.run(script, on_line=on_line, timeout=timeout)
        full = ssh_faults.no_room(self.name, ended.stderr) if ended.status else None
        if full:
            raise full
        return replace(ended, status=128 - ended.status) if ended.status in _SIGNALS else ended

    def _path(self, name: str) -> str:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ValueError(f"{name!r} does not lie in the working folder")
        return f"{self._folder}/{path}"

    @property
    def _mark(self) -> str:
        """Return what the guard knows our processes by."""
        return f"EDGEOPT_PLACE={shlex.quote(self._folder)}"

    @property
    def _open(self) -> Connection:
        if self._connection is None:
            raise ValueError("a place is used inside its `with` block")
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
