"""Device profiles: what is known about a machine that is not here, each fact with its source."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

from devices.errors import BadInput
from devices.fact import Fact, Value
from devices.host import Host, detect
from devices.profile_file import facts_in

LOCAL = "local"
_INT8_FEATURES = ("avx512_vnni", "avx_vnni", "avx2", "i8mm", "asimddp", "asimd")  # fastest first
_FLOAT16_FEATURES = {"asimdhp"}  # x86 has avx512_fp16, but onnxruntime no kernels for it
_FEATURES = ("asimd", "asimdhp", "asimddp", "i8mm", "avx2", "avx512f", "avx512_vnni", "avx_vnni")
_ALWAYS = {"isa", "int8_kernels"}  # even where they are empty: every device has these
_ENDING = ".toml"
# Close to the name of a profile, but none: 32-bit processors.
_32_BIT = {"raspberry-pi-1", "raspberry-pi-2", "raspberry-pi-zero", "raspberry-pi-zero-w", "armv6l", "armv7l", "armhf"}


@dataclass(frozen=True)
class Device:
    """A machine a model can be built for; "" and 0 where a profile does not say.

    Attributes:
        name: What `--target` takes.
        title: Its name in prose.
        isa: Architecture as the kernel names it.
        int8_kernels: What its CPU multiplies 8-bit numbers with, or "" where int8 gains nothing.
        source: Where these facts come from, in one text; `facts` has the source of each.
        float16: Whether its CPU computes in float16, rather than only storing it.
        tensorrt: Whether onnxruntime can hand models to TensorRT on it.
        features: Instruction-set words of /proc/cpuinfo that matter here and that it has.
        core: Its processor core, for instance ``Cortex-A72``.
        cores: How many.
        clock_mhz: Their highest frequency.
        memory_mb: Its memory; of a board that is sold with several sizes the smallest.
        emulator_cpu: What qemu-aarch64 calls a processor that computes as it does, "" where it cannot be emulated.
        cpu_part: The core's number in /proc/cpuinfo, for instance ``0xd08``.
        cuda: Whether onnxruntime can hand models to CUDA on it.
        gpu: Its graphics processor, "" where onnxruntime can use none.
        gpu_float16: Whether that computes in float16.
        gpu_int8: Whether that computes in int8.
        boards: How the device tree's model text begins on it.
        facts: All of this for display, each with its source.
    """

    name: str
    title: str
    isa: str
    int8_kernels: str
    source: str
    float16: bool = False
    tensorrt: bool = False
    features: tuple[str, ...] = ()
    core: str = ""
    cores: int = 0
    clock_mhz: int = 0
    memory_mb: int = 0
    emulator_cpu: str = ""
    cpu_part: str = ""
    cuda: bool = False
    gpu: str = ""
    gpu_float16: bool = False
    gpu_int8: bool = False
    boards: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()


class _File(Protocol):
    """A profile on disk or inside an installed package."""

    @property
    def name(self) -> str:
        """Its file name."""

    def read_bytes(self) -> bytes:
        """Its content."""


def names() -> list[str]:
    """Return all target names, `local` first.

    Raises:
        BadInput: E-PROFILE-TWICE.
    """
    return [LOCAL, *sorted(_files())]


def load(name: str) -> Device:
    """Return a profile; `local` is this machine as detected.

    Raises:
        BadInput: E-TARGET-UNKNOWN, E-PROFILE-TWICE, or what is wrong with the file (E-PROFILE-…).
    """
    if name == LOCAL:
        return of_host(detect())
    files = _files()
    if name not in files:
        raise _unknown(name, [LOCAL, *sorted(files)])
    try:
        data = files[name].read_bytes()
    except OSError as error:
        fix = f"check it: ls -l {files[name]}"
        raise BadInput("E-PROFILE-SYNTAX", f"{files[name]} cannot be read: {error}", fix) from error
    title, facts = facts_in(data, str(files[name]))
    return _device(name, title, facts)


def every() -> list[Device]:
    """Return all profiles by name, this machine left out."""
    return [load(name) for name in names() if name != LOCAL]


def of_host(host: Host) -> Device:
    """Return what is known of a machine that was looked at itself."""
    memory = [size for size in (host.memory_bytes, host.memory_limit_bytes) if size]
    measured: dict[str, Value] = {
        "isa": host.machine,
        "core": host.cpu,
        "cores": host.cores,
        "cpu_part": host.cpu_part,
        "clock_mhz": host.clock_mhz or 0,
        "memory_mb": min(memory, default=0) // 2**20,
        "features": tuple(word for word in _FEATURES if word in host.features),
        "int8_kernels": next((word for word in _INT8_FEATURES if word in host.features), ""),
        "float16": bool(host.features & _FLOAT16_FEATURES),
        "gpu": host.gpu,
        "cuda": bool(host.gpu),
    }
    known = {key: value for key, value in measured.items() if isinstance(value, bool) or value or key in _ALWAYS}
    facts = tuple(Fact(key, value, "measured: read from this machine") for key, value in known.items())
    return _device(LOCAL, str(host), facts)


def best_profile_of(host: Host) -> Device | None:
    """Return the profile whose every fact should hold on a machine, None where there is none.

    A board is known by the text of its device tree, a class of processors by the instructions they have; the one that
    says most wins.
    """
    fitting = [device for device in every() if _fits(device, host)]
    return max(fitting, key=lambda device: (len(device.boards), len(device.features)), default=None)


def with_the_same_core(host: Host) -> list[Device]:
    """Return the profiles of boards with a machine's processor core: the same instructions, other clocks and memory."""
    return [device for device in every() if device.cpu_part and device.cpu_part == host.cpu_part]


def own_folder(environment: Mapping[str, str] | None = None) -> Path | None:
    """Return where a user's own profiles lie, None where he has no home; XDG says that a relative path counts not."""
    variables = os.environ if environment is None else environment
    configured = Path(variables.get("XDG_CONFIG_HOME", ""))
    if not configured.is_absolute():
        home = Path(variables.get("HOME", ""))
        if not home.is_absolute():
            return None
        configured = home / ".config"
    return configured / "edgeopt" / "devices"


def _files() -> dict[str, _File]:
    """Return name -> file of every profile, the shipped ones and the user's own."""
    shipped = (file for file in resources.files("devices.profiles").iterdir() if file.name.endswith(_ENDING))
    files: dict[str, _File] = {file.name.removesuffix(_ENDING): file for file in shipped}
    folder = own_folder()
    try:
        own = sorted(folder.glob(f"*{_ENDING}")) if folder else []
    except OSError:
        own = []
    for file in own:
        if file.stem in files or file.stem == LOCAL:
            message = f"{file} is named like a target that exists already: {file.stem}"
            raise BadInput("E-PROFILE-TWICE", message, f"rename it: mv {file} {file.with_name(f'my-{file.name}')}")
        files[file.stem] = file
    return files


def _device(name: str, title: str, facts: tuple[Fact, ...]) -> Device:
    values: dict[str, Any] = {fact.name: fact.value for fact in facts}  # their types were checked as they were read
    sources = "; ".join(dict.fromkeys(fact.source for fact in facts))
    return Device(name=name, title=title, source=sources, facts=facts, **values)


def _fits(device: Device, host: Host) -> bool:
    if device.isa != host.machine or not {*device.features} <= host.features:
        return False
    if not device.boards:
        return not device.core
    words = (host.board or "").split()
    return any(words[: len(text.split())] == text.split() for text in device.boards)


def _unknown(name: str, known: list[str]) -> BadInput:
    plain = name.lower().replace("_", "-").replace(" ", "-")
    if plain in _32_BIT:
        message = f"there is no target {name}: it is a 32-bit Arm machine, and onnxruntime publishes no build for those"
        return BadInput("E-TARGET-UNKNOWN", message, "use a board with a 64-bit processor: edgeopt devices list")
    close = difflib.get_close_matches(plain, known, n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    return BadInput("E-TARGET-UNKNOWN", f"there is no target {name}{meant}", f"use one of: {', '.join(known)}")
