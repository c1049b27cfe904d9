"""From a message's payload to rows of numbers, or the names of what is wrong with it."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np

from edge_runtime.inference.engine import Array
from edge_runtime.stream import untyped
from edge_runtime.stream.untyped import Rejection, Unusable

Format: TypeAlias = Literal["json", "msgpack", "float32le", "int16le"]

_BINARY = {"float32le": "<f4", "int16le": "<i2"}


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One row of a sensor's numbers.

    Attributes:
        row: The numbers as little-endian float32.
        time: Seconds since 1970 as the sensor says, None where it says nothing.
    """

    row: bytes
    time: float | None = None

    @property
    def values(self) -> Array:
        """Return the row as float32 [features], read-only."""
        return np.frombuffer(self.row, "<f4")


@dataclass(frozen=True)
class Decoder:
    """What readings look like: one to a message, or many in a list (text) or one after the other (binary).

    Attributes:
        fields: Keys whose numbers make the row, in this order; empty where `array` is used.
        array: Key of one list that is the row.
        length: Numbers in the row where `fields` does not tell.
        time_field: Key of the sensor's time: seconds since 1970, or RFC 3339 text.
        max_bytes: Larger payloads are not even parsed.
        form: How the payload is written; the binary ones have no keys and so no `array` and `time_field`.
    """

    fields: tuple[str, ...]
    array: str | None
    length: int
    time_field: str | None
    max_bytes: int
    form: Format = "json"

    def decode(self, payload: bytes) -> Sequence[Reading | Rejection]:
        """Return every reading of a payload, or in its place why it cannot be one; never raises, whatever the bytes."""
        if len(payload) > self.max_bytes:
            return ("too_large",)
        if self.form in _BINARY:
            return self._binary(payload)
        try:
            found = self._parse(payload)
            if type(found) is not list:
                return (self._reading(found),)
            return [self._reading(one) for one in found] or ("wrong_type",)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError, struct.error, Unusable):
            return untyped.explain(payload, self.form == "json", self._reading_untyped)

    def _reading(self, found: Any) -> Reading:
        """Return a reading of what the typed parser found.

        Raises:
            OverflowError: A number is too large for float32.
            struct.error: There are more or fewer numbers than there should be.
            Unusable: A number that is not finite, or a time that is none.
        """
        values = self._numbers(found)
        if self.form == "msgpack" and not all(map(math.isfinite, values)):  # JSON has no NaN and no infinity
            raise Unusable("not_finite")
        return Reading(self._pack(*values), untyped.seconds(found.time) if self.time_field is not None else None)

    def _reading_untyped(self, document: object) -> Reading:
        """Return the same of a document of unknown types; raises `Unusable` with the reason."""
        if not isinstance(document, dict):
            raise Unusable("wrong_type")
        numbers = untyped.numbers(document, self.fields, self.array, self.length)
        return Reading(self._pack(*numbers), untyped.time(document, self.time_field))

    def _binary(self, payload: bytes) -> Sequence[Reading | Rejection]:
        if not payload or len(payload) % (self._width * np.dtype(_BINARY[self.form]).itemsize):
            return ("wrong_length",)
        rows = np.frombuffer(payload, _BINARY[self.form]).reshape(-1, self._width).astype("<f4")
        finite = np.isfinite(rows).all(axis=1).tolist()
        return [Reading(row.tobytes()) if good else "not_finite" for row, good in zip(rows, finite, strict=True)]

    @cached_property
    def _width(self) -> int:
        return len(self.fields) or self.length

    @cached_property
    def _pack(self) -> Callable[..., bytes]:
        return struct.Struct(f"<{self._width}f").pack

    @cached_property
    def _numbers(self) -> Callable[[Any], Sequence[float]]:
        if self.array is not None:
            return attrgetter("numbers")
        names = list(dict.fromkeys(self.fields))
        getter: Callable[[Any], Any] = attrgetter(*(f"number{names.index(field)}" for field in self.fields))
        return getter if len(self.fields) > 1 else lambda found: (getter(found),)

    @cached_property
    def _parse(self) -> Callable[[bytes], Any]:
        """Return a parser for just what is needed: other keys are skipped unread, which is most of the speed."""
        if self.array is not None:
            parts: list[tuple[str, Any]] = [("numbers", list[float])]
            names = {"numbers": self.array}
        else:
            unique = list(dict.fromkeys(self.fields))
            parts = [(f"number{index}", float) for index in range(len(unique))]
            names = {f"number{index}": name for index, name in enumerate(unique)}
        if self.time_field is not None:
            if self.time_field in names.values():  # one key with two meanings: the slow way can do that
                return _refuse
            parts.append(("time", float | str))
            names["time"] = self.time_field
        row = msgspec.defstruct("Row", parts, rename=names, gc=False)
        wanted = row | list[row]  # type: ignore[valid-type]
        decoder = msgspec.json.Decoder if self.form == "json" else msgspec.msgpack.Decoder
        return decoder(wanted).decode


def _refuse(_payload: bytes) -> Any:
    raise msgspec.DecodeError
