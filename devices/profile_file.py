"""Profile files: TOML in, facts out, or what is wrong with the file."""

from __future__ import annotations

import difflib
import sys
from typing import Any

from devices.errors import BadInput
from devices.fact import Fact, Value

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TITLE = "title"
_REQUIRED = {"isa", "features", "int8_kernels"}
# What a profile may state, and as what; a list becomes a tuple.
_TYPES: dict[str, type] = {
    "boards": list,
    "isa": str,
    "core": str,
    "cores": int,
    "cpu_part": str,
    "clock_mhz": int,
    "memory_mb": int,
    "features": list,
    "int8_kernels": str,
    "float16": bool,
    "emulator_cpu": str,
    "gpu": str,
    "gpu_float16": bool,
    "gpu_int8": bool,
    "cuda": bool,
    "tensorrt": bool,
}
_WORDS: dict[type, str] = {
    list: "a list of texts",
    str: "a text",
    int: "a whole number",
    float: "a number with a point",
    bool: "true or false",
    dict: "a table",
}
_EXAMPLE = {list: '["asimd"]', str: '"aarch64"', int: "4", bool: "true"}
_ALLOWED = {
    "isa": ("aarch64", "x86_64"),
    "int8_kernels": ("", "asimd", "asimddp", "i8mm", "avx2", "avx_vnni", "avx512_vnni"),
}
_LABELS = ("published: ", "measured: ", "emulated: ")
_SOURCE = 'write { value = …, source = "published: …" }: published, measured or emulated, and where'


def facts_in(data: bytes, path: str) -> tuple[str, tuple[Fact, ...]]:
    """Return a profile's title and its facts.

    Args:
        data: The file's content.
        path: Its name in errors.

    Raises:
        BadInput: E-PROFILE-SYNTAX, E-PROFILE-KEY, E-PROFILE-TYPE or E-PROFILE-VALUE.
    """
    try:
        document = tomllib.loads(data.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        fix = "write it as TOML in UTF-8; docs/adding-a-device.md shows a whole file"
        raise BadInput("E-PROFILE-SYNTAX", f"{path} is no profile: {error}", fix) from error
    _check_keys(document, path)
    title = document[_TITLE]
    if not isinstance(title, str):
        raise _wrong_type(path, _TITLE, str, title, '"My board"')
    return title, tuple(_fact(key, entry, path) for key, entry in document.items() if key != _TITLE)


def _check_keys(document: dict[str, object], path: str) -> None:
    known = [_TITLE, *_TYPES]
    for key in document:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            meant = f"; did you mean {close[0]}?" if close else ""
            message = f"{path} has a key that a profile does not know: {key}{meant}"
            raise BadInput("E-PROFILE-KEY", message, f"use these keys: {', '.join(known)}")
    missing = [key for key in (_TITLE, *sorted(_REQUIRED)) if key not in document]
    if missing:
        message = f"{path} does not say what every profile must: {', '.join(missing)}"
        raise BadInput("E-PROFILE-KEY", message, "add what is missing; docs/adding-a-device.md shows a whole file")


def _fact(key: str, entry: object, path: str) -> Fact:
    expected = _TYPES[key]
    if not isinstance(entry, dict):
        raise _wrong_type(path, key, dict, entry, f'{{ value = {_EXAMPLE[expected]}, source = "published: …" }}')
    if {*entry} != {"value", "source"}:
        found = ", ".join(entry) or "nothing"
        raise BadInput("E-PROFILE-KEY", f"{path}: {key} must have a value and its source; it has {found}", _SOURCE)
    value: Any = entry["value"]
    source: object = entry["source"]
    if type(value) is not expected or (isinstance(value, list) and not all(isinstance(word, str) for word in value)):
        raise _wrong_type(path, key, expected, value, f"value = {_EXAMPLE[expected]}")
    if not isinstance(source, str) or not source.startswith(_LABELS) or not source.partition(": ")[2].strip():
        raise BadInput("E-PROFILE-VALUE", f"{path}: {key} does not say where its value comes from", _SOURCE)
    if isinstance(value, list):
        value = tuple(value)
    return Fact(key, _checked(key, value, path), source)


def _checked(key: str, value: Value, path: str) -> Value:
    if key in _ALLOWED and value not in _ALLOWED[key]:
        allowed = ", ".join(f'"{word}"' for word in _ALLOWED[key])
        raise BadInput(
            "E-PROFILE-VALUE", f'{path}: {key} = "{value}" is none of those known', f"write one of {allowed}"
        )
    if type(value) is int and value < 1:
        raise BadInput("E-PROFILE-VALUE", f"{path}: {key} = {value} is no count", "write 1 or more, or leave it out")
    return value


def _wrong_type(path: str, key: str, expected: type, found: object, example: str) -> BadInput:
    is_now = _WORDS.get(type(found), "a date or time")
    said = "holds something else" if expected is list and isinstance(found, list) else f"is {is_now}"
    fix = f"write {example}" if example.startswith("value") else f"write {key} = {example}"
    return BadInput("E-PROFILE-TYPE", f"{path}: {key} must be {_WORDS[expected]}, and {said}", fix)
