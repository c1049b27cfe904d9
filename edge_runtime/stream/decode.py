"""From a message's payload to one row of numbers, or the name of what is wrong with it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal, TypeAlias

import msgspec
import numpy as np

from edge_runtime.inference.engine import Array

Rejection: TypeAlias = Literal[
    "too_large", "not_json", "missing_field", "wrong_type", "not_finite", "wrong_length", "bad_time"
]
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_LATEST = 1e11  # seconds since 1970: the year 5138; larger numbers are milliseconds by mistake


@dataclass(frozen=True)
class Reading:
    """One row of a sensor's numbers.

    Attributes:
        values: float32, shape [features].
        time: Seconds since 1970 as the sensor says, None where it says nothing.
    """

    values: Array
    time: float | None


@dataclass(frozen=True)
class Decoder:
    """What a JSON reading looks like.

    Attributes:
        fields: Keys whose numbers make the row, in this order; empty where `array` is used.
        array: Key of one JSON array that is the row.
        length: Numbers the array must hold.
        time_field: Key of the sensor's time: seconds since 1970, or RFC 3339 text.
        max_bytes: Larger payloads are not even parsed.
    """

    fields: tuple[str, ...]
    array: str | None
    length: int
    time_field: str | None
    max_bytes: int

    def decode(self, payload: bytes) -> Reading | Rejection:
        """Return the reading, or why it cannot be one; never raises, whatever the bytes."""
        try:
            document = self._parse(payload)
            numbers = _checked(self._numbers(document))
            return Reading(np.array(numbers, dtype=np.float32), self._time(document))
        except _Unusable as unusable:
            return unusable.reason

    def _parse(self, payload: bytes) -> dict[str, object]:
        if len(payload) > self.max_bytes:
            raise _Unusable("too_large")
        try:
            document = msgspec.json.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _Unusable(_why_unreadable(payload)) from error
        if not isinstance(document, dict):
            raise _Unusable("wrong_type")
        return document

    def _numbers(self, document: dict[str, object]) -> list[object]:
        if self.array is None:
            return [document.get(name) for name in self.fields]
        found = document.get(self.array)
        if found is None:
            raise _Unusable("missing_field")
        if not isinstance(found, list):
            raise _Unusable("wrong_type")
        if len(found) != self.length:
            raise _Unusable("wrong_length")
        return found

    def _time(self, document: dict[str, object]) -> float | None:
        if self.time_field is None:
            return None
        if self.time_field not in document:
            raise _Unusable("missing_field")
        return _seconds(document[self.time_field])


class _Unusable(Exception):
    """A payload that is no reading, with the reason it is counted under."""

    def __init__(self, reason: Rejection) -> None:
        super().__init__(reason)
        self.reason = reason


def _checked(numbers: list[object]) -> list[float]:
    """Return the numbers if each is one that float32 can hold; a JSON true is no number."""
    checked: list[float] = []
    for number in numbers:
        if number is None:
            raise _Unusable("missing_field")
        if type(number) is not float and type(number) is not int:
            raise _Unusable("wrong_type")
        # An int is compared exactly, however long it is.
        if not -_FLOAT32_MAX <= number <= _FLOAT32_MAX:
            raise _Unusable("not_finite")
        checked.append(number)
    return checked


def _why_unreadable(payload: bytes) -> Rejection:
    """Tell JSON with NaN, Infinity or 1e999 (which Python writes and the standard forbids) from no JSON at all."""
    try:
        json.loads(payload, parse_constant=_refuse, parse_float=_finite)
    except _Unusable as unusable:
        return unusable.reason
    except (ValueError, RecursionError):
        pass
    return "not_json"


def _refuse(_constant: str) -> float:
    raise _Unusable("not_finite")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _seconds(value: object) -> float:
    """Return seconds since 1970, never before it, from a number or RFC 3339 text; text without a zone is UTC."""
    seconds = value if type(value) is float or type(value) is int else _seconds_of_text(str(value))
    if not 0 <= seconds <= _LATEST:
        raise _Unusable("bad_time")
    return float(seconds)


def _seconds_of_text(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise _Unusable("bad_time") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
