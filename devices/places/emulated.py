"""The emulated place: the board's processor in qemu, running the real aarch64 onnxruntime; numerics, never times."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from devices.errors import BadInput, EnvironmentFault
from devices.places import children, sandbox
from devices.places.place import Finished, Label, OnLine
from devices.profile import Device

_CANNOT_LOAD = "error while loading shared libraries"


class EmulatedPlace:
    """A board's processor, emulated on this machine.

    Args:
        device: The board; one whose profile has an `emulator_cpu`.
        cache: The folder in which the sandbox is set up on first use, None for the user's cache folder.
        progress: Gets a line for every step of setting it up.

    Raises:
        BadInput: E-PLACE-EMULATION-DEVICE, the device cannot be emulated.
    """

    def __init__(self, device: Device, cache: Path | None = None, progress: OnLine = lambda line: None) -> None:
        # qemu's `max` computes wrong int8 products (its SME), so no device may name it.
        if not device.emulator_cpu or device.emulator_cpu == "max" or device.isa != "aarch64":
            raise BadInput(
                "E-PLACE-EMULATION-DEVICE",
                f"{device.title} cannot be emulated",
                "take a 64-bit ARM board such as emulated:raspberry-pi-4, or the machine itself: --target ssh://USER@HOST",
            )
        self.device = device
        self._cache, self._progress = cache, progress
        self._sandbox: sandbox.Sandbox | None = None
        self._folder: Path | None = None

    @property
    def name(self) -> str:
        """Return ``emulated:`` and the device."""
        return f"emulated:{self.device.name}"

    @property
    def label(self) -> Label:
        """Return what figures from here are called."""
        return "emulated"

    @property
    def folder(self) -> Path:
        """Return the working folder."""
        if self._folder is None:
            raise RuntimeError("a place is opened with `with`")
        return self._folder

    @property
    def sandbox_folder(self) -> Path:
        """Return the folder in the cache that holds the emulator, for what belongs to its version."""
        return self._opened().folder

    def __enter__(self) -> EmulatedPlace:
        """Set up the sandbox where it is not there yet, and make the working folder."""
        self._sandbox = sandbox.prepare(self._cache, self.device, self._progress)
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="edgeopt-emulated-"))
        except OSError as error:
            raise _no_room("make a working folder", error) from error
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the working folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._folder = None

    def put(self, name: str, data: bytes) -> None:
        """Write a file into the working folder."""
        try:
            (self.folder / name).write_bytes(data)
        except OSError as error:
            raise _no_room(f"write {name}", error) from error

    def get(self, name: str) -> bytes:
        """Read a file of the working folder."""
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise EnvironmentFault(
                "E-PLACE-NO-FILE",
                f"there is no file {name} at {self.name}: {error.strerror or error}",
                "run the command again; if it stays, run it with --debug before the verb and report what it shows",
            ) from error

    def command(self, arguments: Sequence[str], plugin: str = "") -> list[str]:
        """Return the command that runs the emulated Python, for those who start it themselves.

        Args:
            arguments: For Python.
            plugin: A qemu plugin with its options, "" for none.
        """
        return self._opened().command(self.device, self.folder, [*arguments], plugin)

    def _opened(self) -> sandbox.Sandbox:
        if self._sandbox is None:
            raise RuntimeError("a place is opened with `with`")
        return self._sandbox

    def python(
        self, arguments: Sequence[str], on_line: OnLine, timeout: float | None = None, *, plugin: str = ""
    ) -> Finished:
        """Run the emulated Python in the working folder; see the contract in place.py.

        Raises:
            EnvironmentFault: E-PLACE-TIMEOUT, it ran longer than `timeout` seconds and was killed;
                E-PLACE-EMULATION-START, the emulator itself does not start on this system.
        """
        try:
            ended = children.run(self.command(arguments, plugin), self.folder, on_line, timeout)
        except OSError as error:
            raise _start_fault(error.strerror or str(error)) from error
        if ended is None:
            raise EnvironmentFault(
                "E-PLACE-TIMEOUT",
                f"{self.name} did not come to an end within {timeout:.0f} s",
                "emulation takes 10 to 30 times as long: try fewer samples",
            )
        if ended.status and _CANNOT_LOAD in ended.stderr:
            raise _start_fault(ended.stderr.strip().splitlines()[-1])
        return ended


def _start_fault(why: str) -> EnvironmentFault:
    return EnvironmentFault(
        "E-PLACE-EMULATION-START",
        f"the emulator does not start on this system: {why}",
        "use a Debian 12 machine or container on x86-64, or the board itself: --target ssh://USER@HOST",
    )


def _no_room(what: str, error: OSError) -> EnvironmentFault:
    return EnvironmentFault(
        "E-PLACE-FOLDER",
        f"cannot {what} for the emulated place: {error.strerror or error}",
        "make room in the folder for temporary files, or name another: TMPDIR=FOLDER",
    )
