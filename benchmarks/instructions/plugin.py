"""The emulator's counting plugin, built on first use: C, so that counting costs little."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path

from edge_runtime.errors import EnvironmentFault

_FLAGS = ("-O2", "-shared", "-fPIC")


def built(folder: Path) -> Path:
    """Return the plugin, built into a folder where it is not there yet.

    Raises:
        EnvironmentFault: E-INSTRUCTIONS-COMPILER, there is no C compiler, or it failed.
    """
    source = resources.files("benchmarks.instructions").joinpath("count.c").read_bytes()
    target = folder / f"instructions-{hashlib.sha256(source).hexdigest()[:16]}.so"
    if target.is_file():
        return target
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise _fault("there is no C compiler to build the instruction counter with")
    with tempfile.TemporaryDirectory(prefix="edgeopt-") as work:
        made = Path(work, "count.so")
        command = [compiler, *_FLAGS, "-x", "c", "-", "-o", str(made)]
        ended = subprocess.run(command, input=source, capture_output=True, check=False)
        if ended.returncode:
            raise _fault(f"{compiler} cannot build the instruction counter: {_first_error(ended.stderr)}")
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copy(made, beside)
        beside.replace(target)
    return target


def _first_error(stderr: bytes) -> str:
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    return next((line for line in lines if "error" in line), lines[-1] if lines else "it does not say why")[:300]


def _fault(what: str) -> EnvironmentFault:
    return EnvironmentFault("E-INSTRUCTIONS-COMPILER", what, "install one: apt-get install gcc libc6-dev")
