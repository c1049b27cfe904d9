"""Windows kept on disk over a clean stop, so that a restart continues every stream where it was."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from edge_runtime.errors import EnvironmentFault
from edge_runtime.files import write_atomically
from edge_runtime.stream import tail_file
from edge_runtime.stream.window import Windows

log = logging.getLogger(__name__)


class WindowStore:
    """The file between two runs of a daemon: written at a clean stop, taken back and removed at the next start.

    Args:
        path: The file; its folder is made when there is something to save.

    Attributes:
        damaged: Files set aside because they were damaged.

    Raises:
        EnvironmentFault: E-FILE-WRITE, the folder may not be made or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damaged = 0
        existing = next(folder for folder in path.parents if folder.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            fix = "name a folder in [state] that the daemon's user may write"
            raise EnvironmentFault("E-FILE-WRITE", f"no file can be written in {path.parent}", fix)

    def restore(self, pipelines: Mapping[str, Windows]) -> None:
        """Fill the pipelines' windows from the file, if there is one; a damaged one is set aside.

        Raises:
            EnvironmentFault: E-FILE-READ, there is a file and it cannot be read.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            fix = "let the daemon's user read it, or move it away to begin with empty windows"
            raise EnvironmentFault("E-FILE-READ", f"cannot read {self._path}: {error.strerror}", fix) from error
        saved = tail_file.decode(data)
        if saved is None:
            self._set_aside()
            return
        for name, windows in pipelines.items():
            tails = saved.get(name, {})
            taken = sum(windows.restore(stream, tail) for stream, tail in tails.items())
            log.info("%s continues %d streams; %d did not fit", name, taken, len(tails) - taken)

    def forget(self) -> None:
        """Remove the file: once readings come in, it is older than what the broker still holds."""
        self._path.unlink(missing_ok=True)

    def save(self, pipelines: Mapping[str, Windows]) -> None:
        """Write the windows; where that fails they begin anew at the next start, and the log says so."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, tail_file.encode(pipelines))
        except (EnvironmentFault, OSError) as error:
            log.error("windows could not be saved and begin anew after the restart: %s", error)

    def _set_aside(self) -> None:
        self.damaged += 1
        aside = self._path.with_suffix(".damaged")
        self._path.replace(aside)
        log.error("%s is damaged; windows begin anew, the file is kept as %s", self._path, aside.name)
