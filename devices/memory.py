"""How much memory this process has needed."""

from __future__ import annotations

from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_resident_bytes(status: Path = _STATUS) -> int | None:
    """Return the most memory this process has had resident since it began, None where the kernel does not say.

    The kernel's VmHWM counts from the start of this program, where getrusage's figure also holds what the program that
    started it had.
    """
    try:
        lines = status.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    words = next((line.split() for line in lines if line.startswith("VmHWM:")), [])
    return int(words[1]) * 1024 if len(words) == 3 and words[1].isdecimal() else None
