"""What a package is built for: this machine, another over ssh, or a board that is not here and may be emulated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from devices import profile
from devices.profile import LOCAL, Device

if TYPE_CHECKING:
    from devices.places.place import Place
    from optimizer.search import Progress

SSH, EMULATED = "ssh://", "emulated:"


@dataclass(frozen=True)
class Target:
    """A machine to build for, and where its own code can run.

    Attributes:
        name: As the user wrote it; a profile's name without ``emulated:`` before it.
        device: What is known about it.
        is_here: Whether times taken on this machine stand for it: it is this machine, or multiplies as this one does.
        place: Where its own code runs besides, None where that is nowhere.
        machine: The machine in words, as it describes itself; empty where it was not asked.
    """

    name: str
    device: Device
    is_here: bool = False
    place: Place | None = None
    machine: str = ""

    @property
    def is_remote(self) -> bool:
        """Tell whether it is the board itself, over ssh: what is timed there is measured."""
        return self.place is not None and self.place.label == "measured"

    @property
    def where(self) -> str:
        """Return the machine that its speeds are of, as the end of a sentence."""
        if self.is_here:
            return "here"
        return f"on a {self.device.core}" if self.device.core and not self.is_remote else f"on {self.name}"


def find(text: str, progress: Progress) -> Target:
    """Return the target a user wrote: ``local``, a profile's name, ``emulated:NAME`` or ``ssh://user@host[:port]``.

    Args:
        text: What the user wrote.
        progress: Told what an emulator does to set itself up, when it is used.

    Raises:
        BadInput: E-TARGET-UNKNOWN, E-PROFILE-…; E-PLACE-…, there can be no such place.
        EnvironmentFault: E-PLACE-…, the machine behind ssh does not answer or lacks something.
    """
    if text.startswith(SSH):
        return _remote(text)
    name = text.removeprefix(EMULATED)
    device = profile.load(name)
    if text.startswith(EMULATED):
        return Target(name, device, place=_emulated(device, progress))
    here = profile.load(LOCAL)
    if name == LOCAL or (device.isa, device.int8_kernels) == (here.isa, here.int8_kernels):
        return Target(name, device, is_here=True)
    return Target(name, device, place=_emulated(device, progress) if device.emulator_cpu else None)


def all_of(names: tuple[str, ...], progress: Progress) -> tuple[Target, ...]:
    """Return the targets, each once, in the order they were named; see `find` for errors."""
    found = [find(name, progress) for name in dict.fromkeys(names)]
    return tuple({target.name: target for target in found}.values())


def _remote(text: str) -> Target:
    from benchmarks import remote  # noqa: PLC0415 - places are opened by who builds for one
    from devices.places.parse import parse  # noqa: PLC0415

    place = parse(text)
    machine = remote.facts(place)
    device = replace(profile.of_host(machine.host), name=place.name)
    return Target(place.name, device, place=place, machine=str(machine))


def _emulated(device: Device, progress: Progress) -> Place:
    from devices.places.emulated import EmulatedPlace  # noqa: PLC0415

    # Set up when it is first used; a line is a stage of its own, of which nobody knows how far it is.
    return EmulatedPlace(device, progress=lambda line: progress(f"{device.name}: {line}", 0, 1))
