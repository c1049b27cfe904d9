"""Another process's processor time and memory, from a made-up /proc and from a real one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from devices.process import Memory, cpu_seconds, memory


def test_the_time_of_all_threads_is_added_up(tmp_path: Path) -> None:
    """The first number of each thread's schedstat is its time on a processor in nanoseconds."""
    for thread, text in (("7", "1500000000 4 5\n"), ("8", "250000000 0 1\n"), ("9", "garbage\n")):
        folder = tmp_path / "7" / "task" / thread
        folder.mkdir(parents=True)
        (folder / "schedstat").write_text(text)
    assert cpu_seconds(7, tmp_path) == 1.75


def test_resident_and_private_memory(tmp_path: Path) -> None:
    """Private is what is clean and what is dirty of the pages that nobody else maps."""
    (tmp_path / "7").mkdir()
    lines = ["00400000-7fff rollup", "Rss:  100 kB", "Pss: 60 kB", "Private_Clean: 10 kB", "Private_Dirty: 30 kB"]
    (tmp_path / "7" / "smaps_rollup").write_text("\n".join(lines))
    assert memory(7, tmp_path) == Memory(100 * 1024, 40 * 1024)


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    """A process that has ended, and a kernel that writes no such file."""
    assert cpu_seconds(7, tmp_path) is None
    assert memory(7, tmp_path) is None
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "smaps_rollup").write_text("Rss: 100 kB\n")
    assert memory(7, tmp_path) is None


def test_a_real_process_has_both() -> None:
    """A child that computes for a while: more time than it had before, and as much memory as it asked for."""
    code = "data = b'x' * 50_000_000; print('here')\nwhile input(): [n * n for n in range(10**6)]; print('done')"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        before, used = cpu_seconds(child.pid), memory(child.pid)
        child.stdin.write("again\n")
        child.stdin.flush()
        child.stdout.readline()
        after = cpu_seconds(child.pid)
        child.kill()
    assert before is not None
    assert after is not None
    assert used is not None
    assert after > before
    assert used.resident > used.private > 50_000_000
    assert cpu_seconds(os.getpid()) is not None
