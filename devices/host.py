"""What this machine is and how it fares, read from /proc and /sys; an odd machine yields less, never an exception."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from devices import clock
from devices.errors import EnvironmentFault
from devices.kernel_files import fields_of, matching, number_of, text_of, whole_number_of

_ROOT = Path("/")
_VECTOR_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "asimddp", "i8mm")
# Arm's own cores by their number in /proc/cpuinfo (util-linux, lscpu-arm.c): AArch64 kernels give no name.
_ARM_CORES = {
    "0xd03": "Cortex-A53",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd0b": "Cortex-A76",
    "0xd42": "Cortex-A78AE",
}
_ARM = "0x41"  # CPU implementer: Arm Limited
# Bits of the Raspberry Pi firmware's get_throttled word; the same bit 16 places up: it has happened since boot.
_THROTTLED_BITS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
# Cooling devices that slow the processor down (Linux cpufreq cooling, Jetson's alerts); a state above 0: they do.
_COOLING = ("cpufreq-", "thermal-cpufreq-")
_COOLING_ALERTS = ("-throttle-alert", "hot-surface-alert")
_OVER_CURRENT = "soctherm_oc"  # what Jetson Linux calls its counters of throttling for too much current
_NO_LIMIT = 2**62  # cgroup v1 writes a number near 2^63 where v2 writes max


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
        cpu_part: The core's number on Arm, for instance ``0xd08``, "" elsewhere.
        clock_mhz: The highest frequency, None where the kernel does not say.
        memory_limit_bytes: What this process's control group may use, None where it is not limited.
        gpu: An NVIDIA graphics processor whose driver is loaded, "" where there is none.
        word_bits: 32 or 64: how wide this Python is, whatever the kernel is.
    """

    machine: str
    cpu: str
    features: frozenset[str]
    cores: int
    memory_bytes: int | None
    board: str | None
    system: str
    cpu_part: str = ""
    clock_mhz: int | None = None
    memory_limit_bytes: int | None = None
    gpu: str = ""
    word_bits: int = 64

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
        throttled_since_boot: What has held it back at any time since it started; counters with their count, so that
            one more event is another entry.
        clock_synchronised: Whether something keeps its clock right.
    """

    load_average: float | None
    governor: str | None
    temperature_celsius: float | None
    throttling: frozenset[str] | None
    throttled_since_boot: frozenset[str] | None
    clock_synchronised: bool | None = None


@cache
def detect(root: Path = _ROOT) -> Host:
    """Read the facts once; they do not change while a process runs."""
    fields: dict[str, str] = {}
    for key, value in fields_of(text_of(root / "proc/cpuinfo")):
        fields.setdefault(key, value)  # of the first processor
    part = fields.get("CPU part", "")
    core = _ARM_CORES.get(part) if fields.get("CPU implementer") == _ARM else None
    return Host(
        machine=platform.machine(),
        cpu=core or fields.get("model name") or platform.machine(),
        features=frozenset((fields.get("flags") or fields.get("Features") or "").split()),
        cores=_cores(),
        memory_bytes=_memory_bytes(root),
        board=text_of(root / "proc/device-tree/model"),
        system=f"{platform.system()} {platform.release()}",
        cpu_part=part,
        clock_mhz=_clock_mhz(root, fields.get("cpu MHz")),
        memory_limit_bytes=_memory_limit_bytes(root),
        gpu=_gpu(root),
        word_bits=64 if sys.maxsize > 2**32 else 32,
    )


def conditions(root: Path = _ROOT) -> Conditions:
    """Read how the machine fares now."""
    load = (text_of(root / "proc/loadavg") or "").split()
    return Conditions(
        load_average=number_of(load[0]) if load else None,
        governor=text_of(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        temperature_celsius=_hottest(root),
        throttling=_throttling(root),
        throttled_since_boot=_throttled_since_boot(root),
        clock_synchronised=clock.synchronised(),
    )


def int8_dot_products_saturate() -> bool:
    """Tell whether onnxruntime's default uint8 x int8 kernels saturate here: x86 without a VNNI unit."""
    host = detect()
    return host.machine == "x86_64" and not host.features & {"avx512_vnni", "avx_vnni"}


def refuse_32_bit_arm(host: Host) -> None:
    """Refuse to go on where onnxruntime cannot be had; a 64-bit kernel with a 32-bit system counts as 32-bit.

    Raises:
        EnvironmentFault: E-HOST-32-BIT-ARM.
    """
    if not host.machine.startswith(("arm", "aarch64")) or (
        host.machine in {"arm64", "aarch64"} and host.word_bits == 64
    ):
        return
    what = host.board or host.cpu
    where = "its kernel is 64-bit, but its system is not" if host.machine == "aarch64" else host.machine
    raise EnvironmentFault(
        "E-HOST-32-BIT-ARM",
        f"this is a 32-bit Arm system ({what}: {where}), and onnxruntime publishes no 32-bit Arm build",
        "install 64-bit Raspberry Pi OS: Pi 3, 4, 5 and Zero 2 W support it; Pi 1, Zero, Zero W are ARMv6 and do not",
    )


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # only Linux has it
        return os.cpu_count() or 1


def _memory_bytes(root: Path) -> int | None:
    fields = dict(fields_of(text_of(root / "proc/meminfo")))
    kilobytes = whole_number_of(fields.get("MemTotal", "").partition(" ")[0])
    return kilobytes * 1024 if kilobytes and kilobytes > 0 else None


def _memory_limit_bytes(root: Path) -> int | None:
    """Return the smallest limit of this process's control group and of those around it, in either version."""
    limits = []
    for line in (text_of(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        mount, name = ("memory", "memory.limit_in_bytes") if controllers else ("", "memory.max")
        group = root / "sys/fs/cgroup" / mount
        folders = [group]
        for part in (part for part in path.split("/") if part not in {"", ".", ".."}):
            group = group / part
            folders.append(group)
        limits += [whole_number_of(text_of(folder / name)) for folder in folders]
    return min((limit for limit in limits if limit and 0 < limit < _NO_LIMIT), default=None)


def _clock_mhz(root: Path, current: str | None) -> int | None:
    """Return the highest frequency; where only the present one is known (virtual machines), that."""
    kilohertz = number_of(text_of(root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"))
    megahertz = kilohertz / 1000 if kilohertz else number_of(current)
    return int(megahertz) if megahertz and megahertz >= 1 else None


def _gpu(root: Path) -> str:
    for card in matching(root / "proc/driver/nvidia/gpus", "*/information"):
        model = dict(fields_of(text_of(card))).get("Model")
        if model:
            return model
    return ""


def _hottest(root: Path) -> float | None:
    zones = matching(root / "sys/class/thermal", "thermal_zone*")
    found = [number_of(text_of(zone / "temp")) for zone in zones]
    return max((millidegrees / 1000 for millidegrees in found if millidegrees is not None), default=None)


def _throttled_word(root: Path) -> int | None:
    """Read the Raspberry Pi firmware's word; other machines have none that a plain user may read."""
    for file in matching(root / "sys/devices/platform", "soc*/soc*:firmware/get_throttled"):
        word = whole_number_of(text_of(file), 16)
        if word is not None and word >= 0:
            return word
    return None


def _bits(word: int) -> set[str]:
    return {what for bit, what in _THROTTLED_BITS.items() if word >> bit & 1}


def _throttling(root: Path) -> frozenset[str] | None:
    """Return what holds the processor back, None where neither firmware nor cooling devices say."""
    word = _throttled_word(root)
    said, found = word is not None, _bits(word or 0)
    for device in matching(root / "sys/class/thermal", "cooling_device*"):
        kind, state = text_of(device / "type") or "", whole_number_of(text_of(device / "cur_state"))
        if state is not None and (kind.startswith(_COOLING) or kind.endswith(_COOLING_ALERTS)):
            said = True
            found |= {f"cooling by {kind}"} if state > 0 else set()
    return frozenset(found) if said else None


def _throttled_since_boot(root: Path) -> frozenset[str] | None:
    word = _throttled_word(root)
    said, found = word is not None, _bits((word or 0) >> 16)
    for chip in matching(root / "sys/class/hwmon", "hwmon*"):
        counters = matching(chip, "oc*_event_cnt") if text_of(chip / "name") == _OVER_CURRENT else []
        for counter in counters:
            events = whole_number_of(text_of(counter))
            said = said or events is not None
            found |= {f"over-current alarm {counter.name.partition('_')[0]}: {events} events"} if events else set()
    return frozenset(found) if said else None
