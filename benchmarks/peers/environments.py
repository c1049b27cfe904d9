"""A Python environment per tool, made on first use and kept."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import process

INSTALL_SECONDS = 1800.0
_READY = "ready.txt"


@dataclass(frozen=True)
class Environment:
    """Where a tool runs, or why it does not.

    Attributes:
        python: The interpreter to start it with.
        reason: Why there is none; None where there is.
    """

    python: Path
    reason: str | None = None


def provide(name: str, requirements: tuple[tuple[str, ...], ...], folder: Path) -> Environment:
    """Return the tool's environment, made and filled where it is not there yet or was made for other requirements.

    Args:
        name: The tool; its environment is the sub-folder of that name.
        requirements: Arguments of one `pip install` after the other; none means the running environment.
        folder: Where environments are kept.
    """
    if not requirements:
        return Environment(Path(sys.executable))
    place = folder / name
    python = place / "bin" / "python"
    wanted = hashlib.sha256(repr(requirements).encode()).hexdigest()
    ready = place / _READY
    if ready.is_file() and ready.read_text("utf-8") == wanted and python.exists():
        return Environment(python)
    folder.mkdir(parents=True, exist_ok=True)
    commands = [[sys.executable, "-m", "venv", "--clear", str(place)]]
    commands += [[str(python), "-m", "pip", "install", "--quiet", *arguments] for arguments in requirements]
    for command in commands:
        ended = process.run(command, folder, INSTALL_SECONDS)
        if ended.status != 0:
            return Environment(python, f"not installed: {_pip_error(ended)}")
    ready.write_text(wanted, "utf-8")
    return Environment(python)


def _pip_error(ended: process.Ended) -> str:
    """Return pip's own last error line, which stands before its hints."""
    errors = [line for line in ended.output.splitlines() if line.startswith("ERROR: ")]
    return errors[-1].removeprefix("ERROR: ")[:200] if errors else str(ended.reason)
