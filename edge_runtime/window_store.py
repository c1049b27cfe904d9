"""Windows kept on disk, so that a restart continues every stream where it was."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from edge_runtime.crash_points import crash_point
from edge_runtime.errors import EnvironmentFault
from edge_runtime.files import write_atomically
from edge_runtime.stream import tail_file
from edge_runtime.stream.tail_file import Saved, Tails
from edge_runtime.stream.window import Windows

log = logging.getLogger(__name__)


class WindowStore:
    """The file between two runs of a daemon, and the copy before it; for one thread at a time.

    A file is whole or not there, whenever the power goes. It says whether a clean stop wrote it: of any other, and of
    the copy before it, nobody knows what came in afterwards.

    Args:
        path: The file; its folder is made when there is something to save.

    Attributes:
        damaged: Files set aside because they were damaged.

    Raises:
        EnvironmentFault: E-FILE-WRITE, the folder may not be made or written.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._previous = path, path.with_suffix(".previous")
        self._found: Saved | None = None
        self._written = b""
        self._fails = False
        self.damaged = 0
        existing = next(folder for folder in path.parents if folder.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            fix = "name a folder in [state] that the daemon's user may write"
            raise EnvironmentFault("E-FILE-WRITE", f"no file can be written in {path.parent}", fix)

    def restore(self, pipelines: Mapping[str, Windows]) -> None:
        """Fill the pipelines' windows from the file, if there is one, else from the copy; a damaged one is set aside.

        Raises:
            EnvironmentFault: E-FILE-READ, there is a file and it cannot be read.
        """
        saved = self._read(self._path)
        if saved is None and (copy := self._read(self._previous)) is not None:
            saved = Saved(False, copy.pipelines)
        if saved is None:
            return
        self._found = saved
        for name, windows in pipelines.items():
            tails = saved.pipelines.get(name, {})
            taken = sum(windows.restore(stream, tail, saved.clean) for stream, tail in tails.items())
            kind = "" if saved.clean else ", saved before a crash"
            log.info("%s continues %d streams%s; %d did not fit", name, taken, kind, len(tails) - taken)

    def begin(self) -> None:
        """Say in the file that its run is over: once readings come in, it is older than they are."""
        found, self._found = self._found, None
        if found is not None and found.clean:
            self.save({name: tails.items() for name, tails in found.pipelines.items()}, clean=False)

    def save(self, pipelines: Mapping[str, Tails], clean: bool) -> int:
        """Write the windows, where they changed; where that fails the log says so, and they are as old after a restart.

        Args:
            pipelines: Pipeline -> copies of its tails.
            clean: Whether the daemon ends and nothing comes in any more.

        Returns:
            The bytes written.
        """
        data = tail_file.encode(pipelines, clean)
        if data == self._written:
            return 0
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists():
                self._path.replace(self._previous)
            crash_point("windows.save.between")
            write_atomically(self._path, data)
        except (EnvironmentFault, OSError) as error:
            if not self._fails:
                log.error("windows could not be saved and are lost in a crash: %s", error)
            self._fails = True
            return 0
        if self._fails:
            log.info("windows can be saved again")
        self._fails, self._written = False, data
        return len(data)

    def _read(self, path: Path) -> Saved | None:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            fix = "let the daemon's user read it, or move it away to begin with empty windows"
            raise EnvironmentFault("E-FILE-READ", f"cannot read {path}: {error.strerror}", fix) from error
        saved = tail_file.decode(data)
        if saved is None:
            self.damaged += 1
            aside = path.with_suffix(f"{path.suffix}.damaged")
            path.replace(aside)
            log.error("%s is damaged or of a later version; it is kept as %s", path, aside.name)
        return saved
