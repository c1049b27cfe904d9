"""What an emulated board says of its processor: the files that its programs find before the host's."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from pathlib import Path

from devices.profile import Device


def root(sandbox: Path, device: Device) -> Path:
    """Return the folder whose files the guest finds before the host's: the userland, and the board's /proc and /sys.

    Without these the cpuinfo library inside onnxruntime reads the host's /proc/cpuinfo as ARM's and crashes.
    """
    text = cpuinfo(device)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    folder = sandbox / "boards" / f"{device.emulator_cpu}-{device.cores}-{digest}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    for part in (sandbox / "guest").iterdir():
        (made / part.name).symlink_to(Path("../../guest") / part.name)
    _write(made, text, device.cores)
    with contextlib.suppress(OSError):  # another process was faster, and its folder is the same
        made.rename(folder)
    shutil.rmtree(made, ignore_errors=True)
    return folder


def _write(root: Path, text: str, cores: int) -> None:
    """Write what the guest reads about its processor."""
    cpus = root / "sys/devices/system/cpu"
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(text, encoding="utf-8")
    for core in range(cores):
        topology = cpus / f"cpu{core}/topology"
        topology.mkdir(parents=True)
        (topology / "core_id").write_text(f"{core}\n", encoding="utf-8")
        (topology / "physical_package_id").write_text("0\n", encoding="utf-8")
    for name in ("possible", "present", "online"):
        (cpus / name).write_text(f"0-{cores - 1}\n", encoding="utf-8")
    (cpus / "kernel_max").write_text("63\n", encoding="utf-8")


def cpuinfo(device: Device) -> str:
    """Return the board's /proc/cpuinfo; what the processor can do, qemu's -cpu decides, not this text."""
    fields = {
        "BogoMIPS": "108.00",
        "Features": " ".join(dict.fromkeys(("fp", "asimd", *device.features))),
        "CPU implementer": "0x41",
        "CPU architecture": "8",
        "CPU variant": "0x0",
        "CPU part": device.cpu_part,
        "CPU revision": "3",
    }
    common = "".join(f"{name}\t: {value}\n" for name, value in fields.items())
    return "".join(f"processor\t: {core}\n{common}\n" for core in range(device.cores))
