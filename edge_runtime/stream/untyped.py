"""The slow way to read a payload, which can say what is wrong with it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec
import numpy as np

if TYPE_CHECKING:
    from edge_runtime.stream.decode import Reading

Rejection: TypeAlias = Literal[
    "too_large", "not_json", "not_msgpack", "missing_field", "wrong_type", "not_finite", "wrong_length", "bad_time"
]
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_LATEST = 1e11  # seconds since 1970: the year 5138; larger numbers are milliseconds by mistake


class Unusable(Exception):
    """A payload, or one of its readings, that is none, with the reason it is counted under."""

    def __init__(self, reason: Rejection) -> None:
        super().__init__(reason)
        self.reason = reason


def explain(payload: bytes, is_json: bool, reading_of: Callable[[object], Reading]) -> Sequence[Reading | Rejection]:
    """Return every reading of a payload that the typed parser refused, and in place of each bad one the reason.

    Args:
        payload: The message.
        is_json: JSON, else MessagePack.
        reading_of: Makes a reading of a parsed document, or raises `Unusable`.
    """
    try:
        document = msgspec.json.decode(payload) if is_json else msgspec.msgpack.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return (_why_unreadable(payload) if is_json else "not_msgpack",)
    # A list is many readings if it holds objects; anything else in it was never meant as one.
    many = isinstance(document, list) and any(isinstance(one, dict) for one in document)
    return [_or_reason(one, reading_of) for one in (document if many else (document,))]


def _or_reason(document: object, reading_of: Callable[[object], Reading]) -> Reading | Rejection:
    try:
        return reading_of(document)
    except Unusable as unusable:
        return unusable.reason


def numbers(document: dict[str, object], fields: Sequence[str], array: str | None, length: int) -> list[float]:
    """Return the row's numbers; raises `Unusable`."""
    if array is None:
        return _checked([document.get(name) for name in fields])
    found = document.get(array)
    if found is None:
        raise Unusable("missing_field")
    if not isinstance(found, list):
        raise Unusable("wrong_type")
    if len(found) != length:
        raise Unusable("wrong_length")
    return _checked(found)


def time(document: dict[str, object], field: str | None) -> float | None:
    """Return the reading's time in seconds since 1970, None where no field is named for it; raises `Unusable`."""
    if field is None:
        return None
    if field not in document:
        raise Unusable("missing_field")
    return seconds(document[field])


def seconds(value: object) -> float:
    """Return seconds since 1970 from a number or RFC 3339 text; text without a zone is UTC; raises `Unusable`."""
    found = value if type(value) is float or type(value) is int else _seconds_of_text(str(value))
    if not 0 <= found <= _LATEST:
        raise Unusable("bad_time")
    return float(found)


def _seconds_of_text(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise Unusable("bad_time") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def _checked(found: list[object]) -> list[float]:
    """Return the numbers if each is one that float32 can hold; a JSON true is no number."""
    checked: list[float] = []
    for number in found:
        if number is None:
            raise Unusable("missing_field")
        if type(number) is not float and type(number) is not int:
            raise Unusable("wrong_type")
        # An int is compared exactly, however long it is.
        if not -_FLOAT32_MAX <= number <= _FLOAT32_MAX:
            raise Unusable("not_finite")
        checked.append(number)
    return checked


def _why_unreadable(payload: bytes) -> Rejection:
    """Tell JSON with NaN, Infinity or 1e999 (which Python writes and the standard forbids) from no JSON at all."""
    try:
        json.loads(payload, parse_constant=_refuse, parse_float=_finite)
    except Unusable as unusable:
        return unusable.reason
    except (ValueError, RecursionError):
        pass
    return "not_json"


def _refuse(_constant: str) -> float:
    raise Unusable("not_finite")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)
