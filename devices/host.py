"""What this machine is, read from /proc and /sys; an odd machine yields less, never an exception."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_VECTOR_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "asimddp", "i8mm")


@dataclass(frozen=True)
class Host:
    """Facts about the machine this process runs on.

    Attributes:
        machine: Architecture as the kernel names it, for instance ``x86_64`` or ``aarch64``.
        cpu: Processor name, the architecture where the kernel gives none.
        features: Instruction-set words from /proc/cpuinfo.
        cores: Processors this process may use.
        memory_bytes: Physical memory, None where unknown.
        board: Model from the device tree (Raspberry Pi, Jetson), None elsewhere.
        system: Kernel name and release.
    """

    machine: str
    cpu: str
    features: frozenset[str]
    cores: int
    memory_bytes: int | None
    board: str | None
    system: str

    def __str__(self) -> str:
        vector = [word for word in _VECTOR_FEATURES if word in self.features]
        words = [self.board or self.cpu, self.machine, f"{self.cores} cores", *vector]
        return ", ".join(words)


@cache
def detect() -> Host:
    """Read the facts once; they do not change while a process runs."""
    fields = _cpuinfo()
    return Host(
        machine=platform.machine(),
        cpu=fields.get("model name", platform.machine()),
        features=frozenset((fields.get("flags") or fields.get("Features") or "").split()),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=_memory_bytes(),
        board=_read("/proc/device-tree/model"),
        system=f"{platform.system()} {platform.release()}",
    )


def int8_dot_products_saturate() -> bool:
    """Tell whether onnxruntime's default uint8 x int8 kernels saturate here: x86 without a VNNI unit."""
    host = detect()
    return host.machine == "x86_64" and not host.features & {"avx512_vnni", "avx_vnni"}


def _cpuinfo() -> dict[str, str]:
    """Return the first processor's fields."""
    fields: dict[str, str] = {}
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields


def _memory_bytes() -> int | None:
    for line in (_read("/proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return None


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip("\0\n ") or None
    except OSError:
        return None
