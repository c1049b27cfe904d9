"""Every problem of a configuration at once, each with its line and its fix."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_origin

import msgspec

from edge_runtime.errors import BadInput

Key: TypeAlias = tuple[str | int, ...]  # ("pipeline", 0, "source", "topic")
Table: TypeAlias = type[msgspec.Struct]

_TABLE = re.compile(r"^\s*\[(\[)?\s*([^\[\]]+?)\s*\]")
_ASSIGNMENT = re.compile(r"^\s*([A-Za-z0-9_.\"'-]+)\s*=")

_PAGE = "docs/configuration.md"
_LONGEST_SHOWN = 60
# msgspec's names of types, in the words of somebody who writes TOML.
_WORDS = {
    "str": "text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "an array",
    "object": "a table",
}


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
        found: Pairs (line, problem) in any order.
    """

    def __init__(self, path: Path, found: list[tuple[int, Problem]]) -> None:
        self.path = path
        self.found = sorted(found, key=lambda pair: pair[0])
        first_line, first = self.found[0]
        super().__init__(first.code, f"{path}:{first_line}: {first.message}", first.fix)

    def __str__(self) -> str:
        lines = [f"{p.code}: {self.path}:{line}: {p.message}\n  fix: {p.fix}" for line, p in self.found]
        return "\nerror ".join(lines)


def problems_in(document: dict[str, Any], struct: Table, key: Key = ()) -> Iterator[Problem]:
    """Yield unknown keys, missing keys and wrong values of a table, and of the tables inside it."""
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    for name in document:
        if name not in fields:
            yield _unknown(name, (*key, name), list(fields))
    for name, field in fields.items():
        if name in document:
            yield from _problems_in_value(document[name], field.type, (*key, name))
        elif field.required:
            yield _missing((*key, name), field.type)


def line_of(text: str, key: Key) -> int:
    """Return the line on which a key, or else the table it belongs to, stands; 1 where neither does."""
    lines = _key_lines(text)
    for length in range(len(key), 0, -1):
        if key[:length] in lines:
            return lines[key[:length]]
    return 1


def did_you_mean(word: str, known: list[str]) -> str | None:
    """Return a question that names the known word closest to a misspelt one, None where none is close."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else None


def _problems_in_value(value: Any, expected: Any, key: Key) -> Iterator[Problem]:
    tables, brackets = list(_tables_in(expected)), _brackets(expected, key)
    entries = value if isinstance(value, list) else [value]
    if not tables or not entries or not all(isinstance(entry, dict) for entry in entries):
        yield from _problems_in_plain(value, expected, key)
    elif isinstance(value, list) != _is_array(expected):
        yield Problem("E-CONFIG-TYPE", key, f"{_name(key)} has the wrong brackets", f"write {brackets}")
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _problems_in_table(entry, tables, (*key, index))
    else:
        yield from _problems_in_table(value, tables, key)


def _problems_in_table(value: dict[str, Any], tables: list[Table], key: Key) -> Iterator[Problem]:
    """Look into a table; where there are several kinds of it, its tag says which."""
    tag = tables[0].__struct_config__.tag_field
    if tag is None:
        yield from problems_in(value, tables[0], key)
        return
    kinds = {str(table.__struct_config__.tag): table for table in tables}
    if tag not in value:
        yield Problem("E-CONFIG-MISSING-KEY", key, f"{tag} is missing in {_where(key)}", _choose(tag, kinds))
    elif value[tag] not in kinds:
        yield _wrong_choice(value[tag], list(kinds), (*key, tag))
    else:
        rest = {name: entry for name, entry in value.items() if name != tag}
        found = list(problems_in(rest, kinds[value[tag]], key))
        yield from found or _problems_in_plain(value, kinds[value[tag]], key)  # what its fields do not show alone


def _problems_in_plain(value: Any, expected: Any, key: Key) -> Iterator[Problem]:
    try:
        msgspec.convert(value, expected)
    except msgspec.ValidationError as error:
        choices = list(_choices_in(expected))
        yield _wrong_choice(value, choices, key) if choices else _wrong_value(value, str(error), expected, key)


def _tables_in(expected: Any) -> Iterator[Table]:
    """Yield the kinds of table that a field may hold, itself or in an array."""
    if isinstance(expected, type) and issubclass(expected, msgspec.Struct):
        yield expected
    for part in get_args(expected):
        yield from _tables_in(part)


def _is_array(expected: Any) -> bool:
    if get_origin(expected) is Annotated:
        return _is_array(get_args(expected)[0])
    return get_origin(expected) is tuple


def _choices_in(expected: Any) -> Iterator[Any]:
    if get_origin(expected) is Literal:
        yield from get_args(expected)
    else:
        for part in get_args(expected):
            yield from _choices_in(part)


def _form_of(expected: Any) -> str | None:
    """Return what a value looks like, where its type says so."""
    forms = (part.description for part in (expected, *get_args(expected)) if isinstance(part, msgspec.Meta))
    inner = (_form_of(part) for part in get_args(expected))
    return next((form for form in (*forms, *inner) if form), None)


def _unknown(name: str, key: Key, known: list[str]) -> Problem:
    fix = did_you_mean(name, known) or f"remove it; known here: {', '.join(known)}"
    return Problem("E-CONFIG-UNKNOWN-KEY", key, f"{name!r} is no option of {_where(key[:-1])}", fix)


def _missing(key: Key, expected: Any) -> Problem:
    written = _brackets(expected, key) if any(_tables_in(expected)) else f"{key[-1]} = …"
    fix = f"add {written}; {_PAGE} explains it"
    return Problem("E-CONFIG-MISSING-KEY", key[:-1], f"{key[-1]} is missing in {_where(key[:-1])}", fix)


def _wrong_value(value: Any, why: str, expected: Any, key: Key) -> Problem:
    """Turn msgspec's words into an instruction; its path is inside the value, ours leads to it."""
    reason = re.sub(r" - at `\$[^`]*`", "", why)
    form = _form_of(expected)
    fix = f"write {form}" if form else f"see this option in {_PAGE}"
    if "matching regex" in reason or "of length" in reason:
        return Problem("E-CONFIG-VALUE", key, f"{_shown(key, value)} has not the right form", fix)
    code = "E-CONFIG-TYPE" if ", got" in reason else "E-CONFIG-VALUE"
    return Problem(code, key, f"{_shown(key, value)}: {_in_words(reason)}", fix)


def _wrong_choice(value: Any, choices: Iterable[Any], key: Key) -> Problem:
    words = [str(choice) for choice in choices]
    fix = did_you_mean(str(value), words) or _choose(str(key[-1]), choices)
    return Problem("E-CONFIG-VALUE", key, f"{_shown(key, value)} is not known", fix)


def _choose(name: str, choices: Iterable[Any]) -> str:
    return f"write {name} = {' or '.join(_toml(choice) for choice in choices)}"


def _in_words(reason: str) -> str:
    def translated(match: re.Match[str]) -> str:
        return " or ".join(_WORDS.get(word, word) for word in match[1].split(" | ") if word != "null")

    return re.sub("`([^`]*)`", translated, reason[0].lower() + reason[1:])


def _shown(key: Key, value: Any) -> str:
    text = _toml(value)
    return f"{_name(key)} = {text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + '…'}"


def _toml(value: Any) -> str:
    return msgspec.json.encode(value).decode()  # the same as TOML for what a person writes into one line


def _name(key: Key) -> str:
    return ".".join(part for part in key if isinstance(part, str))


def _where(key: Key) -> str:
    return f"[{_name(key)}]" if key else "the file's top level"


def _brackets(expected: Any, key: Key) -> str:
    return f"[[{_name(key)}]], once for each" if _is_array(expected) else f"[{_name(key)}], once"


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
