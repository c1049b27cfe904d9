"""The aarch64 sandbox: qemu-user, an arm64 userland with Python, and the real aarch64 wheels, in a cache folder.

Nothing needs rights: no chroot, no binfmt_misc, no mounts. Packages are Debian 12's, unpacked side by side; the wheels
have the versions that are installed here, so both sides run the same onnxruntime.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import signal
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from importlib import metadata
from pathlib import Path
from typing import TypeAlias

from devices.errors import EnvironmentFault
from devices.places import board, debian
from devices.places.children import Children, disk_full
from devices.places.place import OnLine
from devices.profile import Device

Step: TypeAlias = Callable[[Children], None]

PYTHON = "python3.11"
_RECIPE = 1  # of what a sandbox is made of; a change makes new ones
_ROOM = 500 * 1000 * 1000  # bytes taken while it is made
_GLIBC = range(36, 16, -1)  # Debian 12 has glibc 2.36, and runs every wheel made for an older one

# What the daemon imports: distribution -> its import name, by which a distribution of another name is found.
_WHEELS = {"click": "click", "msgspec": "msgspec", "numpy": "numpy", "onnxruntime": "onnxruntime", "paho-mqtt": "paho"}
_USERLAND = (
    *("libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libffi8", "libssl3", "liblzma5", "libbz2-1.0"),
    "libsqlite3-0",
    *("libuuid1", f"{PYTHON}-minimal", f"lib{PYTHON}-minimal", f"lib{PYTHON}-stdlib"),
)
# The dynamic qemu-user, with its libraries: a fifth of the static one's size, and it takes plugins.
_QEMU = (
    *(
        "qemu-user",
        "libcapstone4",
        "liburing2",
        "libglib2.0-0",
        "libgnutls30",
        "libnuma1",
        "libpcre2-8-0",
        "libp11-kit0",
    ),
    *("libidn2-0", "libunistring2", "libtasn1-6", "libnettle8", "libhogweed6", "libgmp10", "libffi8", "zlib1g"),
    "libgcc-s1",
)
_LIBRARIES = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
_GUEST_LIBRARIES = "/usr/lib/aarch64-linux-gnu:/lib/aarch64-linux-gnu"
_CHECK = f"import {', '.join((*_WHEELS.values(), 'ssl'))}"


@dataclass(frozen=True)
class Sandbox:
    """A finished sandbox.

    Attributes:
        folder: Where it lies; it may be moved as a whole.
    """

    folder: Path

    def command(self, device: Device, home: Path, arguments: list[str], plugin: str = "") -> list[str]:
        """Return the command that runs its Python on the device's processor, in an environment of its own.

        Args:
            device: The machine to be; one with an `emulator_cpu`.
            home: The guest's home folder and folder for temporary files.
            arguments: For Python.
            plugin: A qemu plugin with its options, "" for none.
        """
        libraries = ":".join(str(self.folder / "qemu" / name) for name in _LIBRARIES)
        guest = {
            "LD_LIBRARY_PATH": _GUEST_LIBRARIES,
            "PYTHONHOME": str(self.folder / "guest/usr"),
            "PYTHONPATH": str(self.folder / "site"),
            "PYTHONHASHSEED": "0",  # so that instruction counts repeat
            "OPENBLAS_NUM_THREADS": "1",
        }
        return [
            *("env", "-i", f"LD_LIBRARY_PATH={libraries}", f"HOME={home}", f"TMPDIR={home}", "LANG=C.UTF-8"),
            str(self.folder / "qemu/usr/bin/qemu-aarch64"),
            *(("-plugin", plugin) if plugin else ()),
            *("-cpu", device.emulator_cpu, "-L", str(board.root(self.folder, device))),
            *(word for name, value in guest.items() for word in ("-E", f"{name}={value}")),
            *(str(self.folder / "guest/usr/bin" / PYTHON), *arguments),
        ]


def prepare(cache: Path | None, device: Device, progress: OnLine) -> Sandbox:
    """Return the sandbox, set up on first use; one process sets it up while others wait for it.

    Args:
        cache: The folder for it, None for ``$XDG_CACHE_HOME/edgeopt`` or ``~/.cache/edgeopt``.
        device: The machine that it is tried as.
        progress: Gets a line for every step.

    Raises:
        EnvironmentFault: E-PLACE-EMULATION-HOST, not possible on this system; E-PLACE-EMULATION-SETUP, a step failed;
            E-PLACE-EMULATION-DISK, no room.
    """
    versions = {name: _version(name, module) for name, module in _WHEELS.items()}
    folder = (cache or _default_cache()) / _name(versions)
    if folder.is_dir():
        return Sandbox(folder)
    _check_host()
    origin = debian.source()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_name(f"{folder.name}.lock"), progress):
            if not folder.is_dir():
                _set_up(folder, versions, origin, device, progress)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return Sandbox(folder)


def _set_up(folder: Path, versions: dict[str, str], origin: debian.Source, device: Device, progress: OnLine) -> None:
    """Make the sandbox in a temporary folder and rename it when it is whole and has run."""
    if shutil.disk_usage(folder.parent).free < _ROOM:
        raise disk_full()
    for left in folder.parent.glob(f"{folder.name}.partial-*"):  # by one that was killed: this process has the lock
        shutil.rmtree(left, ignore_errors=True)
    begin = time.monotonic()
    made = folder.parent / f"{folder.name}.partial-{os.getpid()}"
    steps: dict[str, Step] = {
        "the emulator": lambda children: _unpack_qemu(made, origin, children),
        "the arm64 userland": lambda children: debian.unpack(_USERLAND, "arm64", made / "guest", origin, children),
        f"onnxruntime {versions['onnxruntime']} for aarch64": lambda children: _unpack_wheels(made, versions, children),
    }
    try:
        made.mkdir()
        progress("setting up the aarch64 sandbox, once: about 80 MB to download, 200 MB on disk")
        _at_once(steps, lambda done: progress(f"{done} is there, after {time.monotonic() - begin:.0f} s"))
        for state in made.glob("*.apt"):
            shutil.rmtree(state)
        with Children() as children:
            children.run(Sandbox(made).command(device, made, ["-c", _CHECK]))
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    progress(f"the aarch64 sandbox is ready, after {time.monotonic() - begin:.0f} s")


def _at_once(steps: dict[str, Step], progress: OnLine) -> None:
    """Do all steps at once and tell each one's name when it is done; the first that fails ends the others."""
    with ThreadPoolExecutor(len(steps)) as pool, Children() as children:
        # An interruption while a thread begins would leave it running with nobody to wait for it.
        unmasked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            begun = {pool.submit(step, children): name for name, step in steps.items()}
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, unmasked)
        for future in as_completed(begun):
            future.result()
            progress(begun[future])


def _unpack_qemu(made: Path, origin: debian.Source, children: Children) -> None:
    debian.unpack(_QEMU, "amd64", made / "qemu", origin, children)
    for program in (made / "qemu/usr/bin").iterdir():
        if program.name != "qemu-aarch64":
            program.unlink()


def _unpack_wheels(made: Path, versions: dict[str, str], children: Children) -> None:
    if importlib.util.find_spec("pip") is None:
        raise EnvironmentFault(
            "E-PLACE-EMULATION-HOST",
            "pip, which downloads the aarch64 wheels, is not installed in this Python",
            "python3 -m ensurepip --upgrade",
        )
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in _GLIBC]
    tags = [*platforms, "--python-version=3.11", "--implementation=cp", "--abi=cp311"]
    wanted = [f"{name}=={version}" for name, version in versions.items()]
    wheels = made / "wheels.apt"
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    children.run([*download, *tags, "-d", str(wheels), *wanted])
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(made / "site")


@contextlib.contextmanager
def _locked(file: Path, progress: OnLine) -> Iterator[None]:
    """Hold the file's lock, which ends with the process whatever happens."""
    with file.open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another process sets up the aarch64 sandbox; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _name(versions: dict[str, str]) -> str:
    """Return the folder's name: what a user wants to see of the versions, and a digest of all of them."""
    everything = repr((_RECIPE, debian.SUITE, PYTHON, _QEMU, _USERLAND, sorted(versions.items())))
    digest = hashlib.sha256(everything.encode()).hexdigest()[:8]
    return f"aarch64-{debian.SUITE}-onnxruntime-{versions['onnxruntime']}-numpy-{versions['numpy']}-{digest}"


def _version(distribution: str, module: str) -> str:
    """Return the installed version, also where the module comes from a distribution of another name."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        others = metadata.packages_distributions().get(module, [])
        if others:
            return metadata.version(others[0])
        raise EnvironmentFault(
            "E-PLACE-EMULATION-HOST",
            f"{distribution} is not installed here, so there is no version to take for the emulated place",
            "pip install 'edgeopt[all]'",
        ) from None


def _check_host() -> None:
    """Refuse where the sandbox cannot be made at all."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise _impossible(f"this is {platform.system()} on {platform.machine()}, and the emulator runs on x86-64 Linux")
    missing = [program for program in ("apt-get", "dpkg") if shutil.which(program) is None]
    if missing:
        raise _impossible(f"it is made of Debian packages, and {' and '.join(missing)} is not installed here")


def _impossible(why: str) -> EnvironmentFault:
    return EnvironmentFault(
        "E-PLACE-EMULATION-HOST",
        f"there is no emulated place here: {why}",
        "use a Debian 12 machine or container on x86-64, or the board itself: --target ssh://USER@HOST",
    )


def _unwritable(folder: Path, error: OSError) -> EnvironmentFault:
    if error.errno in {ENOSPC, EDQUOT}:
        return disk_full()
    return EnvironmentFault(
        "E-PLACE-EMULATION-SETUP",
        f"the emulated place could not be set up in {folder.parent}: {error.strerror or error}",
        "name a folder that can be written to: export XDG_CACHE_HOME=FOLDER",
    )


def _default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    if Path(base).is_absolute():
        return Path(base) / "edgeopt"
    try:
        return Path.home() / ".cache" / "edgeopt"
    except RuntimeError as error:
        raise EnvironmentFault(
            "E-PLACE-EMULATION-SETUP",
            "this user has no home folder to set up the emulated place in",
            "name a folder that can be written to: export XDG_CACHE_HOME=FOLDER",
        ) from error
