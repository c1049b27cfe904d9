"""Every problem of a configuration at once, each with its line and its fix."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, get_args

import msgspec

from edge_runtime.errors import BadInput

Key: TypeAlias = tuple[str | int, ...]  # ("pipeline", 0, "source", "topic")

_TABLE = re.compile(r"^\s*\[(\[)?\s*([^\[\]]+?)\s*\]")
_ASSIGNMENT = re.compile(r"^\s*([A-Za-z0-9_.\"'-]+)\s*=")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: stable code, key, what is wrong, what to write instead."""

    code: str
    key: Key
    message: str
    fix: str


class ConfigError(BadInput):
    """A configuration with one or more problems.

    Args:
        path: The file.
        found: Pairs (line, problem) in any order; the line is None where it cannot be told.
    """

    def __init__(self, path: Path, found: list[tuple[int | None, Problem]]) -> None:
        self.path = path
        self.found = sorted(found, key=lambda pair: pair[0] or 0)
        first_line, first = self.found[0]
        super().__init__(first.code, f"{path}:{first_line}: {first.message}", first.fix)

    def __str__(self) -> str:
        lines = [f"{p.code}: {self.path}:{line}: {p.message}\n  fix: {p.fix}" for line, p in self.found]
        return "\nerror ".join(lines)


def problems_in(document: dict[str, Any], struct: type[msgspec.Struct], key: Key = ()) -> Iterator[Problem]:
    """Yield unknown keys, missing keys and wrong values of a table, and of the tables inside it."""
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    for name in document:
        if name not in fields:
            yield _unknown(name, (*key, name), list(fields))
    for name, field in fields.items():
        if name in document:
            yield from _problems_in_value(document[name], field.type, (*key, name))
        elif field.required:
            message = f"{name} is missing in {_where(key)}"
            yield Problem(
                "E-CONFIG-MISSING-KEY", key, message, f"add {name} = … there; docs/configuration.md explains it"
            )


def line_of(text: str, key: Key) -> int | None:
    """Return the line on which a key, or else the table it belongs to, stands."""
    lines = _key_lines(text)
    for length in range(len(key), 0, -1):
        if key[:length] in lines:
            return lines[key[:length]]
    return 1


def _problems_in_value(value: Any, expected: Any, key: Key) -> Iterator[Problem]:
    table = _struct_in(expected)
    if table is not None and isinstance(value, dict):
        yield from problems_in(value, table, key)
    elif table is not None and isinstance(value, list) and all(isinstance(entry, dict) for entry in value) and value:
        for index, entry in enumerate(value):
            yield from problems_in(entry, table, (*key, index))
    else:
        try:
            msgspec.convert(value, expected)
        except msgspec.ValidationError as error:
            yield _wrong_value(value, str(error), key)


def _struct_in(expected: Any) -> type[msgspec.Struct] | None:
    """Return the one table type that a field holds, itself or in an array; None for values and tagged unions."""
    if isinstance(expected, type) and issubclass(expected, msgspec.Struct):
        return None if expected.__struct_config__.tag else expected
    found = {struct for part in get_args(expected) if (struct := _struct_in(part)) is not None}
    return found.pop() if len(found) == 1 else None


def _unknown(name: str, key: Key, known: list[str]) -> Problem:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    fix = f"did you mean {close[0]!r}?" if close else f"remove it; known here: {', '.join(known)}"
    return Problem("E-CONFIG-UNKNOWN-KEY", key, f"{name!r} is no option of {_where(key[:-1])}", fix)


def _wrong_value(value: Any, why: str, key: Key) -> Problem:
    """Turn msgspec's words into an instruction; its path is inside the value, ours leads to it."""
    reason = re.sub(r" - at `\$[^`]*`", "", why)
    shown = f"{'.'.join(str(part) for part in key)} = {value!r}"
    if "regex" in reason:
        fix = 'durations are written "500ms", "10s", "5min", sizes "64KiB", "1MiB", names without / + #'
        return Problem("E-CONFIG-VALUE", key, f"{shown} has not the right form", fix)
    code = "E-CONFIG-TYPE" if ", got" in reason else "E-CONFIG-VALUE"
    return Problem(code, key, f"{shown}: {reason[0].lower()}{reason[1:]}", "see this option in docs/configuration.md")


def _where(key: Key) -> str:
    names = [str(part) for part in key if isinstance(part, str)]
    return f"[{'.'.join(names)}]" if names else "the file's top level"


def _key_lines(text: str) -> dict[Key, int]:
    """Return key -> line, for tables, array tables and plain assignments; enough for any file a person writes."""
    lines: dict[Key, int] = {}
    counts: dict[Key, int] = {}
    table: Key = ()
    for number, line in enumerate(text.splitlines(), start=1):
        header = _TABLE.match(line)
        if header:
            table = _table_key(_names(header[2]), counts, is_array=bool(header[1]))
            lines.setdefault(table, number)
            continue
        assignment = _ASSIGNMENT.match(line)
        if assignment:
            lines.setdefault((*table, *_names(assignment[1])), number)
    return lines


def _table_key(names: list[str], counts: dict[Key, int], *, is_array: bool) -> Key:
    """Return the key of a table header; inside an array of tables it belongs to the latest entry."""
    key: Key = ()
    for position, name in enumerate(names):
        key = (*key, name)
        if is_array and position == len(names) - 1:
            counts[key] = counts.get(key, -1) + 1
        if key in counts:
            key = (*key, counts[key])
    return key


def _names(dotted: str) -> list[str]:
    return [name.strip().strip("\"'") for name in dotted.split(".")]
