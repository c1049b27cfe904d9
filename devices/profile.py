"""Device profiles: what is known about a machine that is not here."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import resources

from devices.host import detect

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LOCAL = "local"
_INT8_FEATURES = ("avx512_vnni", "avx_vnni", "avx2", "i8mm", "asimddp", "asimd")  # fastest first
_FLOAT16_FEATURES = {"asimdhp"}  # x86 has avx512_fp16, but onnxruntime no kernels for it


@dataclass(frozen=True)
class Device:
    """A machine a model can be built for.

    Attributes:
        name: What `--target` takes.
        title: Its name in prose.
        isa: Architecture as the kernel names it.
        int8_kernels: What its CPU multiplies 8-bit numbers with, or "" where int8 gains nothing.
        source: Where these facts come from.
        float16: Whether its CPU computes in float16, rather than only storing it.
        tensorrt: Whether onnxruntime can hand models to TensorRT on it.
        features: Words of /proc/cpuinfo that it has.
        cores: How many.
        emulator_cpu: What qemu calls its core, "" where it cannot be emulated.
        cpu_part: The part number in its /proc/cpuinfo, for instance ``0xd08``.
    """

    name: str
    title: str
    isa: str
    int8_kernels: str
    source: str
    float16: bool = False
    tensorrt: bool = False
    features: tuple[str, ...] = ()
    cores: int = 0
    emulator_cpu: str = ""
    cpu_part: str = ""


def names() -> list[str]:
    """Return all target names, `local` first."""
    files = resources.files("devices.profiles").iterdir()
    return [LOCAL, *sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))]


def load(name: str) -> Device:
    """Return a profile; `local` is this machine as detected.

    Raises:
        KeyError: No profile has that name; `names` lists them.
    """
    if name == LOCAL:
        host = detect()
        kernels = next((word for word in _INT8_FEATURES if word in host.features), "")
        float16 = bool(host.features & _FLOAT16_FEATURES)
        return Device(LOCAL, str(host), host.machine, kernels, "read from this machine", float16)
    if name not in names():
        raise KeyError(name)
    text = resources.files("devices.profiles").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    facts = tomllib.loads(text)
    return Device(name=name, features=tuple(facts.pop("features", ())), **facts)
