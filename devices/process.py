"""What another process has used: processor time of all its threads, and memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from devices.kernel_files import fields_of, matching, text_of, whole_number_of

_ROOT = Path("/proc")


@dataclass(frozen=True)
class Memory:
    """A process's memory now, in bytes.

    Attributes:
        resident: All pages in memory, those of shared libraries included.
        private: Those that no other process maps.
    """

    resident: int
    private: int


def cpu_seconds(process_id: int, root: Path = _ROOT) -> float | None:
    """Return the processor time of all threads that a process has now, None where the kernel does not say.

    From schedstat, which counts nanoseconds where /proc/PID/stat counts ticks of 10 ms. The time of threads that have
    ended is not in it: compare two readings between which none ends.
    """
    found = [
        nanoseconds
        for file in matching(root / str(process_id) / "task", "*/schedstat")
        if (nanoseconds := whole_number_of((text_of(file) or "").partition(" ")[0])) is not None
    ]
    return sum(found) / 1e9 if found else None


def memory(process_id: int, root: Path = _ROOT) -> Memory | None:
    """Return what a process has in memory, None where the kernel does not say or the process belongs to another."""
    fields = dict(fields_of(text_of(root / str(process_id) / "smaps_rollup")))
    kilobytes = [
        whole_number_of(fields.get(name, "").partition(" ")[0]) for name in ("Rss", "Private_Clean", "Private_Dirty")
    ]
    if None in kilobytes:
        return None
    resident, clean, dirty = (1024 * (number or 0) for number in kilobytes)
    return Memory(resident, clean + dirty)
