"""Option values that click does not read by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge_runtime.errors import BadInput, WrongUsage


def shapes(given: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Read ``NAME=1,3,224,224`` options.

    Raises:
        WrongUsage: E-OPTION-SHAPE.
    """
    found = {}
    for text in given:
        name, _, sizes = text.rpartition("=")
        try:
            found[name] = tuple(int(size) for size in sizes.split(","))
        except ValueError as error:
            raise _bad_shape(text) from error
        if not name or min(found[name]) < 1:
            raise _bad_shape(text)
    return found


def numbers(option: str, text: str) -> tuple[float, ...]:
    """Read ``0.485,0.456,0.406``.

    Raises:
        WrongUsage: E-OPTION-NUMBERS.
    """
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise _bad_numbers(option, text) from error
    if option == "--std" and not all(values):
        raise _bad_numbers(option, text)
    return values


def count(option: str, text: str) -> int:
    """Read a whole number of at least 1.

    Raises:
        WrongUsage: E-OPTION-COUNT.
    """
    if not text.isdecimal() or int(text) < 1:
        raise WrongUsage("E-OPTION-COUNT", f"{option} {text} is no number of at least 1", f"write {option} 2, or auto")
    return int(text)


def class_names(path: Path) -> tuple[str, ...]:
    """Read one class name per line.

    Raises:
        BadInput: E-LABELS-FILE, the file is missing, empty or not text.
    """
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("E-LABELS-FILE", f"cannot read {path}: {error}", "give a UTF-8 text file") from error
    if not names:
        raise BadInput("E-LABELS-FILE", f"{path} names no class", "write one class name per line, in output order")
    return names


def _bad_shape(text: str) -> WrongUsage:
    return WrongUsage("E-OPTION-SHAPE", f"--shape {text} is not a shape", "write it as --shape NAME=1,3,224,224")


def _bad_numbers(option: str, text: str) -> WrongUsage:
    fix = f"write {option} 0.5 or {option} 0.485,0.456,0.406 (no zero in --std)"
    return WrongUsage("E-OPTION-NUMBERS", f"{option} {text} is not a list of numbers", fix)
