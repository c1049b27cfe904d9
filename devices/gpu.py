"""Which NVIDIA GPU this machine has, by its kernel driver; on a Jetson the board says it."""

from __future__ import annotations

from pathlib import Path

from devices.host import detect

_ROOT = Path("/")


def name(root: Path = _ROOT) -> str | None:
    """Return the first GPU's name, a Jetson's board, None where there is neither."""
    for file in sorted(root.glob("proc/driver/nvidia/gpus/*/information")):
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            key, _, value = line.partition(":")
            if key.strip() == "Model" and value.strip():
                return value.strip()
    board = detect(root).board
    return board if board and "Jetson" in board else None


def lacks_int8(board: str | None) -> bool:
    """Tell whether a board's GPU multiplies no 8-bit numbers: the Jetson Nano's Maxwell (sm_53) has float16 only."""
    return board is not None and "Jetson Nano" in board
