"""Whole-file writes: done or not begun, whatever happens in between."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from edge_runtime.errors import EnvironmentFault
from edge_runtime.files import write_atomically


def test_a_file_is_written_and_readable_by_others(tmp_path: Path) -> None:
    """The bytes are there, nothing else is, and the daemon's user may read them."""
    path = tmp_path / "p.edgepkg"
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["p.edgepkg"]


def test_an_old_file_is_replaced_whole(tmp_path: Path) -> None:
    """A reader that has the old file open keeps the old content: it was replaced, not overwritten."""
    path = tmp_path / "p.edgepkg"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        write_atomically(path, b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("target", ["missing/p.edgepkg", "file/p.edgepkg", "folder", "x" * 300])
def test_a_place_that_cannot_be_written_is_an_environment_fault(tmp_path: Path, target: str) -> None:
    """No folder, a file for a folder, a folder for a file, a name too long: one code, nothing left behind."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(EnvironmentFault) as caught:
        write_atomically(tmp_path / target, b"new")
    assert caught.value.code == "E-FILE-WRITE"
    assert target in caught.value.message
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """Where the data do not fit (a file size limit stands in for the disk), the old file stays as it was."""
    path = tmp_path / "p.edgepkg"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(EnvironmentFault) as caught:
            write_atomically(path, b"x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.strerror(errno.EFBIG) in caught.value.message
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["p.edgepkg"]


def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    """SIGKILL once the new bytes are on disk, before they are renamed: a reader still sees the old file, whole."""
    path = tmp_path / "p.edgepkg"
    path.write_bytes(b"old")
    script = textwrap.dedent(
        f"""
        import os, signal
        from pathlib import Path
        from edge_runtime.files import write_atomically

        os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)
        write_atomically(Path({str(path)!r}), b"new" * 1000)
        """
    )
    child = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert child.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
