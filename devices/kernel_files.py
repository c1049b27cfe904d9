"""Reading the kernel's files: what is missing, forbidden or garbage is None, never an exception."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

_LONGEST = 1_000_000  # a file that never ends must not fill the memory


def text_of(path: Path) -> str | None:
    """Return a file's text without the NUL and line feed at its end, None where there is none to read."""
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST)
    except (OSError, ValueError):  # ValueError: a name read from another file holds a NUL
        return None
    return data.decode("utf-8", "replace").strip("\0\n ") or None


def number_of(text: str | None) -> float | None:
    """Return the number a text is, None where it is none."""
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def whole_number_of(text: str | None, base: int = 10) -> int | None:
    """Return the whole number a text is, None where it is none."""
    try:
        return int(text or "", base)
    except ValueError:
        return None


def matching(folder: Path, pattern: str) -> list[Path]:
    """Return what lies in a folder under such names, in order; nothing where it cannot be read."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def fields_of(text: str | None) -> Iterator[tuple[str, str]]:
    """Yield name and value of each line `name: value`."""
    for line in (text or "").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            yield name.strip(), value.strip()
