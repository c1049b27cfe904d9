"""Whether the Python at the other end of ssh can run models, and the line to type there where it cannot."""

from __future__ import annotations

from dataclasses import dataclass

from devices.errors import EnvironmentFault

OLDEST = (3, 10)
OLDEST_FOR_UV = (3, 8)
VENV = "edgeopt"
# The last release of onnxruntime with a wheel for that Python; later Pythons have the latest.
LAST_ONNXRUNTIME = {(3, 10): "1.23.2"}


@dataclass(frozen=True)
class RemotePython:
    """What devices/places/guard.py says of the Python that runs it.

    Attributes:
        version: Major and minor.
        machine: Architecture as the kernel names it; a 64-bit kernel may run a 32-bit Python.
        bits: Width of its pointers.
        executable: Its path.
        missing: Which of numpy and onnxruntime it does not find.
        in_venv: Whether it belongs to a virtual environment.
        takes_packages: Whether its pip may install: it has one, and the system does not keep it for itself (PEP 668).
        makes_venvs: Whether it can make virtual environments (Debian: the package python3-venv).
        folder: The working folder, empty where none could be made.
        fault: Why it could not.
    """

    version: tuple[int, int]
    machine: str
    bits: int
    executable: str
    missing: tuple[str, ...]
    in_venv: bool
    takes_packages: bool
    makes_venvs: bool
    folder: str
    fault: str


def no_python(place: str, python: str) -> EnvironmentFault:
    """Return the error for a machine that does not know the interpreter."""
    return EnvironmentFault(
        "E-PLACE-PYTHON",
        f"{place} has no {python}",
        f"on that machine: sudo apt-get install -y python3 python3-venv; or name its Python: {_naming(place)}",
    )


def unusable(place: str, python: str, words: str) -> EnvironmentFault:
    """Return the error for an interpreter that is there and does not run our lines."""
    return EnvironmentFault(
        "E-PLACE-PYTHON",
        f"{python} on {place} does not work: {words}",
        f"try `{python} -V` there, or name another Python: {_naming(place)}",
    )


def unfit(place: str, python: RemotePython) -> EnvironmentFault | None:
    """Return why models cannot run there, with what to type, or None where they can."""
    if python.bits == 32 and python.machine.startswith(("arm", "aarch64")):
        return EnvironmentFault(
            "E-PLACE-ARM32",
            f"{place} runs 32-bit ARM software ({python.machine}), and onnxruntime publishes no 32-bit ARM build",
            "install 64-bit Raspberry Pi OS (Pi 3, 4, 5 and Zero 2 W support it);"
            " Pi 1, Zero and Zero W are ARMv6 and cannot run it",
        )
    if python.version < OLDEST:
        return EnvironmentFault(
            "E-PLACE-PYTHON",
            f"{python.executable} on {place} is Python {_dotted(python.version)}, and {_dotted(OLDEST)} is needed",
            _newer(place, python),
        )
    if python.missing:
        return EnvironmentFault(
            "E-PLACE-ONNXRUNTIME",
            f"{python.executable} on {place} has no {' and no '.join(python.missing)}",
            _install(place, python),
        )
    if not python.folder:
        return EnvironmentFault(
            "E-PLACE-FOLDER",
            f"no working folder can be made on {place}: {python.fault}",
            "make room in its temporary folder, or make it writable: df -h /tmp; ls -ld /tmp",
        )
    return None


def _install(place: str, python: RemotePython) -> str:
    if python.takes_packages:
        where = "" if python.in_venv else "--user "
        return f"on that machine: {python.executable} -m pip install {where}{_packages(python.version)}"
    first = "" if python.makes_venvs else "sudo apt-get install -y python3-venv && "
    return (
        f"on that machine: {first}{python.executable} -m venv ~/{VENV}"
        f" && ~/{VENV}/bin/pip install {_packages(python.version)}; then name it: {_naming(place)}"
    )


def _newer(place: str, python: RemotePython) -> str:
    systems = "Debian 12, Raspberry Pi OS bookworm, Ubuntu 22.04 and JetPack 6 have one"
    if python.version < OLDEST_FOR_UV or not python.takes_packages:
        return f"upgrade its system ({systems}), or name a newer Python: {_naming(place)}"
    return (
        f"on that machine: {python.executable} -m pip install --user uv"
        f" && {python.executable} -m uv venv --seed --python 3.12 ~/{VENV}"
        f" && ~/{VENV}/bin/pip install {_packages((3, 12))}; then name it: {_naming(place)}"
    )


def _packages(version: tuple[int, int]) -> str:
    last = LAST_ONNXRUNTIME.get(version)
    return f"numpy onnxruntime=={last}" if last else "numpy onnxruntime"


def _naming(place: str) -> str:
    """Return the place with an interpreter named; quoted, as a shell would take the question mark for a pattern."""
    return f"'{place.partition('?')[0]}?python={VENV}/bin/python'"


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
