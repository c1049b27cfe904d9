"""From what stands behind `--target` to the place where that machine's answers can be had."""

from __future__ import annotations

from dataclasses import dataclass

from devices import profile
from devices.host import detect, int8_dot_products_saturate
from devices.places.local import LocalPlace
from devices.places.parse import parse
from devices.places.place import OnLine, Place
from devices.profile import Device
from edge_runtime.errors import EnvironmentFault
from optimizer.saturation import kernels_saturate


@dataclass(frozen=True)
class Found:
    """A place, and what it is not, in sentences."""

    place: Place
    notes: tuple[str, ...] = ()


def find(target: str, progress: OnLine = lambda line: None) -> Found:
    """Return the place of a target: `local`, ``ssh://…``, ``emulated:PROFILE`` or the name of a profile.

    A profile of an aarch64 board is emulated; one of an x86-64 machine is this machine, with a note of how it differs.
    `progress` gets a line for every step of setting an emulator up.

    Raises:
        BadInput: E-TARGET-UNKNOWN.
        EnvironmentFault: E-PLACE-NONE, this host cannot stand for that machine.
    """
    if target == profile.LOCAL or ":" in target:
        return Found(parse(target, progress))
    device = profile.load(target)
    if device.isa == "aarch64":
        return Found(parse(f"emulated:{target}", progress))
    host = detect()
    if host.machine != device.isa:
        raise EnvironmentFault(
            "E-PLACE-NONE",
            f"{target} is an {device.isa} machine, and this host is {host.machine}",
            "name one that is: --target ssh://USER@HOST",
        )
    return Found(LocalPlace(), tuple(_differences(device, host.features)))


def _differences(device: Device, features: frozenset[str]) -> list[str]:
    """Return how this host's int8 arithmetic differs from that of an x86-64 device."""
    ran = f"ran on this host, which stands for {device.name}"
    saturates_here, saturates_there = int8_dot_products_saturate(), kernels_saturate(device)
    if saturates_here and not saturates_there:
        return [f"{ran} but has no VNNI: its int8 kernels are others"]
    if saturates_there and not saturates_here:
        return [f"{ran} but has VNNI: int8 sums that can saturate there never do here"]
    if device.int8_kernels and device.int8_kernels not in features:
        return [f"{ran} but has no {device.int8_kernels}"]
    return [ran]
