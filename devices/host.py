"""What this machine is and how it fares, read from /proc and /sys; an odd machine yields less, never an exception."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_ROOT = Path("/")
_VECTOR_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "asimddp", "i8mm")
# Bits of the Raspberry Pi firmware's get_throttled word; the same bit 16 places up: it has happened since boot.
_THROTTLED_BITS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}


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


@dataclass(frozen=True)
class Conditions:
    """How the machine fares at one moment; None where it does not say.

    Attributes:
        load_average: Runnable processes, mean over the last minute.
        governor: What sets the processor's frequency, for instance ``performance`` or ``ondemand``.
        temperature_celsius: The hottest thermal zone.
        throttling: What holds the processor back now; empty where it says that nothing does.
        throttled_since_boot: What has held it back at any time since it started.
    """

    load_average: float | None
    governor: str | None
    temperature_celsius: float | None
    throttling: frozenset[str] | None
    throttled_since_boot: frozenset[str] | None


@cache
def detect(root: Path = _ROOT) -> Host:
    """Read the facts once; they do not change while a process runs."""
    fields = _cpuinfo(root)
    return Host(
        machine=platform.machine(),
        cpu=fields.get("model name", platform.machine()),
        features=frozenset((fields.get("flags") or fields.get("Features") or "").split()),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=_memory_bytes(root),
        board=_read(root / "proc/device-tree/model"),
        system=f"{platform.system()} {platform.release()}",
    )


def conditions(root: Path = _ROOT) -> Conditions:
    """Read how the machine fares now."""
    load = (_read(root / "proc/loadavg") or "").split()
    throttled = _throttled_word(root)
    return Conditions(
        load_average=float(load[0]) if load else None,
        governor=_read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        temperature_celsius=_hottest(root),
        throttling=_throttling(throttled),
        throttled_since_boot=_throttling(throttled and throttled >> 16),
    )


def int8_dot_products_saturate() -> bool:
    """Tell whether onnxruntime's default uint8 x int8 kernels saturate here: x86 without a VNNI unit."""
    host = detect()
    return host.machine == "x86_64" and not host.features & {"avx512_vnni", "avx_vnni"}


def _cpuinfo(root: Path) -> dict[str, str]:
    """Return the first processor's fields."""
    fields: dict[str, str] = {}
    for line in (_read(root / "proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields


def _memory_bytes(root: Path) -> int | None:
    for line in (_read(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return None


def _hottest(root: Path) -> float | None:
    texts = [_read(zone / "temp") for zone in (root / "sys/class/thermal").glob("thermal_zone*")]
    return max((int(text) / 1000 for text in texts if text), default=None)


def _throttled_word(root: Path) -> int | None:
    """Read the Raspberry Pi firmware's word; other machines have none that a plain user may read."""
    text = _read(root / "sys/devices/platform/soc/soc:firmware/get_throttled")
    return None if text is None else int(text, 16)


def _throttling(word: int | None) -> frozenset[str] | None:
    return None if word is None else frozenset(what for bit, what in _THROTTLED_BITS.items() if word >> bit & 1)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ") or None
    except OSError:
        return None
