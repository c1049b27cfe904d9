"""Memory and disk, as the kernel counts them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def rss_mib(process: int) -> float:
    """Return a process's resident set, 0 where it has gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def disk_kib(folder: Path) -> float:
    """Return what the files of a folder hold."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(base) / name).stat().st_size
    return total / 1024
