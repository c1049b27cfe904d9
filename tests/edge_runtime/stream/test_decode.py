"""Payloads in: what is a reading, and under which reason everything else is counted."""

from __future__ import annotations

import json
import typing

import msgspec
import numpy as np
import pytest

from edge_runtime.stream.decode import Decoder, Reading
from edge_runtime.stream.untyped import Rejection

FIELDS = Decoder(fields=("a", "b"), array=None, length=0, time_field=None, max_bytes=200)
ARRAY = Decoder(fields=(), array="v", length=3, time_field=None, max_bytes=200)
PACKED = Decoder(fields=("a",), array=None, length=0, time_field=None, max_bytes=200, form="msgpack")
FLOATS = Decoder(fields=("a", "b"), array=None, length=0, time_field=None, max_bytes=200, form="float32le")
INTEGERS = Decoder(fields=(), array=None, length=2, time_field=None, max_bytes=200, form="int16le")
TIMED = Decoder(fields=("a",), array=None, length=0, time_field="ts", max_bytes=200)


def test_fields_in_their_configured_order() -> None:
    """The row follows the configuration, not the message; other keys are ignored."""
    (reading,) = FIELDS.decode(b'{"b": 2, "x": "y", "a": 1.5}')
    assert isinstance(reading, Reading)
    np.testing.assert_array_equal(reading.values, np.array([1.5, 2], np.float32))
    assert reading.time is None


def test_an_array_is_the_row() -> None:
    """All numbers under one key."""
    (reading,) = ARRAY.decode(b'{"v": [1, -2.5, 3e2]}')
    assert isinstance(reading, Reading)
    np.testing.assert_array_equal(reading.values, np.array([1, -2.5, 300], np.float32))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1700000000", 1.7e9),
        ("1700000000.25", 1700000000.25),
        ('"2023-11-14T22:13:20Z"', 1.7e9),
        ('"2023-11-14T23:13:20+01:00"', 1.7e9),
        ('"2023-11-14T22:13:20"', 1.7e9),
        ("0", 0.0),
    ],
)
def test_times(text: str, seconds: float) -> None:
    """Seconds since 1970, or RFC 3339 with or without a zone; without one it is UTC."""
    (reading,) = TIMED.decode(f'{{"a": 1, "ts": {text}}}'.encode())
    assert isinstance(reading, Reading)
    assert reading.time == seconds


@pytest.mark.parametrize(
    ("decoder", "payload", "reason"),
    [
        (FIELDS, b"", "not_json"),
        (FIELDS, b"{", "not_json"),
        (FIELDS, b"hello", "not_json"),
        (FIELDS, b"\xff\xfe\x00", "not_json"),
        (FIELDS, b"[" * 150, "not_json"),
        (FIELDS, b'{"a": 1, "b": 2} trailing', "not_json"),
        (FIELDS, b" " * 201, "too_large"),
        (FIELDS, b"[1, 2]", "wrong_type"),
        (FIELDS, b"null", "wrong_type"),
        (FIELDS, b"7", "wrong_type"),
        (FIELDS, b'{"a": 1}', "missing_field"),
        (FIELDS, b'{"a": 1, "b": null}', "missing_field"),
        (FIELDS, b'{"a": 1, "b": "2"}', "wrong_type"),
        (FIELDS, b'{"a": 1, "b": true}', "wrong_type"),
        (FIELDS, b'{"a": 1, "b": [2]}', "wrong_type"),
        (FIELDS, b'{"a": 1, "b": NaN}', "not_finite"),
        (FIELDS, b'{"a": -Infinity, "b": 2}', "not_finite"),
        (FIELDS, b'{"a": 1, "b": 1e999}', "not_finite"),
        (FIELDS, b'{"a": 1, "b": 1e39}', "not_finite"),
        (FIELDS, b'{"a": 1, "b": ' + b"9" * 60 + b"}", "not_finite"),
        (ARRAY, b'{"v": [1, 2]}', "wrong_length"),
        (ARRAY, b'{"v": []}', "wrong_length"),
        (ARRAY, b'{"v": [1, 2, 3, 4]}', "wrong_length"),
        (ARRAY, b'{"v": 1}', "wrong_type"),
        (ARRAY, b'{"v": [1, 2, "3"]}', "wrong_type"),
        (ARRAY, b'{"v": [1, 2, null]}', "missing_field"),
        (ARRAY, b'{"w": [1, 2, 3]}', "missing_field"),
        (ARRAY, b'{"v": [1, 2, NaN]}', "not_finite"),
        (TIMED, b'{"a": 1}', "missing_field"),
        (TIMED, b'{"a": 1, "ts": "yesterday"}', "bad_time"),
        (TIMED, b'{"a": 1, "ts": 1700000000000}', "bad_time"),
        (TIMED, b'{"a": 1, "ts": true}', "bad_time"),
        (TIMED, b'{"a": 1, "ts": {}}', "bad_time"),
    ],
)
def test_reasons(decoder: Decoder, payload: bytes, reason: str) -> None:
    """Each kind of unusable payload is counted under its own reason."""
    assert list(decoder.decode(payload)) == [reason]


@pytest.mark.parametrize("seed", range(200))
def test_no_payload_raises(seed: int) -> None:
    """Damaged messages and random bytes give a reading or a known reason, never an exception."""
    random = np.random.default_rng(seed)
    good = json.dumps({"a": 1.5, "b": [2, {"c": None}], "ts": "2023-11-14T22:13:20Z", "v": [1, 2, 3]}).encode()
    raw = bytearray(good if seed % 2 else random.bytes(int(random.integers(0, 80))))
    for place in random.integers(0, max(len(raw), 1), 4) if raw else ():
        raw[place] = random.integers(0, 256)
    for decoder in (FIELDS, ARRAY, TIMED, PACKED, FLOATS):
        found = decoder.decode(bytes(raw))
        assert found
        assert all(isinstance(one, Reading) or one in typing.get_args(Rejection) for one in found)


def test_a_list_is_many_readings() -> None:
    """Sensors that send seldom send many readings at once; a bad one among them costs the others nothing."""
    found = TIMED.decode(b'[{"a": 1, "ts": 1}, {"a": 2, "ts": 2}]')
    assert [(one.values[0], one.time) for one in found if isinstance(one, Reading)] == [(1, 1.0), (2, 2.0)]
    mixed = TIMED.decode(b'[{"a": 1, "ts": 1}, {"a": 1e39, "ts": 2}, 7, {"a": 4, "ts": "noon"}, {"a": 5, "ts": 5}]')
    assert [one if isinstance(one, str) else float(one.values[0]) for one in mixed] == [
        1.0,
        "not_finite",
        "wrong_type",
        "bad_time",
        5.0,
    ]


def test_messagepack_is_read_like_json() -> None:
    """The same keys, the same reasons, and the numbers that only MessagePack can hold are refused."""
    assert PACKED.decode(msgspec.msgpack.encode({"a": 1.5, "x": 0})) == (Reading(np.float32(1.5).tobytes()),)
    assert len(PACKED.decode(msgspec.msgpack.encode([{"a": 1}, {"a": 2}]))) == 2
    assert list(PACKED.decode(msgspec.msgpack.encode({"a": float("nan")}))) == ["not_finite"]
    assert list(PACKED.decode(msgspec.msgpack.encode({"a": "1"}))) == ["wrong_type"]
    assert list(PACKED.decode(b"\xc1")) == ["not_msgpack"]


def test_binary_rows_follow_each_other() -> None:
    """Floats and 16-bit integers without keys: the length must be a whole number of rows."""
    rows = np.array([[1.5, -2], [3, 4]], "<f4")
    np.testing.assert_array_equal([one.values for one in FLOATS.decode(rows.tobytes())], rows)
    np.testing.assert_array_equal(
        [one.values for one in INTEGERS.decode(rows.astype("<i2").tobytes())], [[1, -2], [3, 4]]
    )
    assert list(FLOATS.decode(b"\0" * 9)) == list(FLOATS.decode(b"")) == ["wrong_length"]
    half = FLOATS.decode(np.array([[1, np.inf], [3, 4]], "<f4").tobytes())
    assert half[0] == "not_finite"
    assert isinstance(half[1], Reading)


def test_one_key_may_be_number_and_time() -> None:
    """A field that is the time as well is read the slow way, and right; so is a field named twice."""
    both = Decoder(fields=("t", "t"), array=None, length=0, time_field="t", max_bytes=200)
    (reading,) = both.decode(b'{"t": 5}')
    assert isinstance(reading, Reading)
    assert (list(reading.values), reading.time) == ([5, 5], 5.0)
