"""The emulated place: the board's processor in qemu, running the real aarch64 onnxruntime; numerics, never times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from devices.errors import BadInput, EnvironmentFault
from devices.places import sandbox
from devices.places.local import LocalPlace
from devices.places.place import Finished, Label, OnLine
from devices.profile import Device

_CANNOT_LOAD = "error while loading shared libraries"


class EmulatedPlace(LocalPlace):
    """A folder of this machine, and a Python that runs on a board's processor.

    Args:
        device: The board; one whose profile has an `emulator_cpu`.
        cache: The folder in which the sandbox is set up on first use, None for the user's cache folder.
        progress: Gets a line for every step of setting it up.

    Raises:
        BadInput: E-PLACE-EMULATION-DEVICE, the device cannot be emulated.
    """

    label: Label = "emulated"

    def __init__(self, device: Device, cache: Path | None = None, progress: OnLine = lambda line: None) -> None:
        super().__init__()
        # qemu's `max` computes wrong int8 products (its SME), so no device may name it.
        if not device.emulator_cpu or device.emulator_cpu == "max" or device.isa != "aarch64":
            fix = "take a 64-bit ARM board such as emulated:raspberry-pi-4, or the machine itself: ssh://USER@HOST"
            raise BadInput("E-PLACE-EMULATION-DEVICE", f"{device.title} cannot be emulated", fix)
        self.name = f"emulated:{device.name}"
        self.device = device
        self._cache, self._progress = cache, progress
        self._sandbox: sandbox.Sandbox | None = None

    @property
    def folder(self) -> Path:
        """Return the working folder."""
        return self._file(".")

    @property
    def sandbox_folder(self) -> Path:
        """Return the folder in the cache that holds the emulator, for what belongs to its version."""
        return self._opened().folder

    def __enter__(self) -> EmulatedPlace:
        """Set up the sandbox where it is not there yet, and make the working folder.

        Raises:
            EnvironmentFault: E-PLACE-EMULATION-HOST, not possible on this system; E-PLACE-EMULATION-SETUP, a step
                failed; E-PLACE-EMULATION-DISK, no room; E-PLACE-FOLDER.
        """
        self._sandbox = sandbox.prepare(self._cache, self.device, self._progress)
        super().__enter__()
        return self

    def command(self, arguments: Sequence[str], plugin: str = "") -> list[str]:
        """Return the command that runs the emulated Python, for those who start it themselves.

        Args:
            arguments: For Python.
            plugin: A qemu plugin with its options, "" for none.
        """
        return self._opened().command(self.device, self.folder, [*arguments], plugin)

    def python(
        self, arguments: Sequence[str], on_line: OnLine, timeout: float | None = None, *, plugin: str = ""
    ) -> Finished:
        """Run the emulated Python in the working folder; see the contract in place.py.

        Raises:
            EnvironmentFault: E-PLACE-TIMEOUT, it took longer than `timeout` seconds; E-PLACE-EMULATION-START, the
                emulator itself does not start on this system; E-PLACE-FOLDER.
        """
        ended = self._run(self.command(arguments, plugin), on_line, timeout)
        if ended.status and _CANNOT_LOAD in ended.stderr:
            raise EnvironmentFault(
                "E-PLACE-EMULATION-START",
                f"the emulator does not start on this system: {ended.stderr.strip().splitlines()[-1]}",
                "use a Debian 12 machine or container on x86-64, or the board itself: --target ssh://USER@HOST",
            )
        return ended

    def _opened(self) -> sandbox.Sandbox:
        if self._sandbox is None:
            raise RuntimeError("open the place first: with place: ...")
        return self._sandbox
