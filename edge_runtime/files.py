"""Whole-file writes that are either done or did not happen."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from edge_runtime.errors import EnvironmentFault


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` through a synced temporary name in the same folder.

    A reader sees the old content or the new one, also after a power cut; on failure nothing is left behind.

    Raises:
        EnvironmentFault: E-FILE-WRITE, the folder is missing, read-only or full.
    """
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes 0600, but the daemon reads packages under its own user
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def sync_folder(folder: Path) -> None:
    """Make renames and new files durable: on ext4 the directory entry is synced separately from the file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(path: Path, error: OSError) -> EnvironmentFault:
    return EnvironmentFault(
        "E-FILE-WRITE",
        f"cannot write {path}: {error.strerror or error}",
        "choose a folder that exists, is writable and has room, then run the command again",
    )
