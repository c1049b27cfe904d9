"""How much memory this process needs and has needed, and how much the machine has left."""

from __future__ import annotations

from pathlib import Path

from devices.kernel_files import fields_of, text_of, whole_number_of

_STATUS = Path("/proc/self/status")
_MEMINFO = Path("/proc/meminfo")


def peak_resident_bytes(status: Path = _STATUS) -> int | None:
    """Return the most memory this process has had resident since it began, None where the kernel does not say.

    The kernel's VmHWM counts from the start of this program, where getrusage's figure also holds what the program that
    started it had.
    """
    return _bytes(status, "VmHWM")


def resident_bytes(status: Path = _STATUS) -> int | None:
    """Return the memory this process has resident now, None where the kernel does not say."""
    return _bytes(status, "VmRSS")


def available_bytes(meminfo: Path = _MEMINFO) -> int | None:
    """Return what programs can still get without swapping, None where the kernel does not say."""
    return _bytes(meminfo, "MemAvailable")


def _bytes(file: Path, name: str) -> int | None:
    number, _, unit = dict(fields_of(text_of(file))).get(name, "").partition(" ")
    kilobytes = whole_number_of(number) if unit.strip() == "kB" else None
    return kilobytes * 1024 if kilobytes is not None else None
