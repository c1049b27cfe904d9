"""The machine's part of the health message."""

from __future__ import annotations

import msgspec

from devices import host, memory


class MachineHealth(msgspec.Struct, frozen=True):
    """How the machine fares; null is what it does not say.

    Attributes:
        board: What it is.
        clock_synchronised: Whether something keeps its clock right, so that time stamps can be trusted.
        temperature_c: The hottest thermal zone, degrees Celsius.
        throttling: What holds the processor back now.
        throttled_since_boot: What has held it back since it was switched on.
        load_average: Runnable processes, mean over the last minute.
        resident_bytes: Memory of this process.
        available_bytes: Memory that programs can still get.
        limit_bytes: The most memory the service may use, null without a limit.
    """

    board: str
    clock_synchronised: bool | None = None
    temperature_c: float | None = None
    throttling: tuple[str, ...] | None = None
    throttled_since_boot: tuple[str, ...] | None = None
    load_average: float | None = None
    resident_bytes: int | None = None
    available_bytes: int | None = None
    limit_bytes: int | None = None


def observe() -> MachineHealth:
    """Ask this machine."""
    here, now = host.detect(), host.conditions()
    return MachineHealth(
        board=here.board or here.cpu,
        clock_synchronised=now.clock_synchronised,
        temperature_c=now.temperature_celsius,
        throttling=_sorted(now.throttling),
        throttled_since_boot=_sorted(now.throttled_since_boot),
        load_average=now.load_average,
        resident_bytes=memory.resident_bytes(),
        available_bytes=memory.available_bytes(),
        limit_bytes=here.memory_limit_bytes,
    )


def _sorted(words: frozenset[str] | None) -> tuple[str, ...] | None:
    return None if words is None else tuple(sorted(words))
