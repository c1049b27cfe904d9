"""Saved windows as bytes: damaged ones, those of the first format, and those of a later one."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np

from edge_runtime.stream import tail_file
from edge_runtime.stream.rules import StreamBound, TimeRule, WindowRule
from edge_runtime.stream.window import Tail, Windows


def _with_digest(body: bytes) -> bytes:
    return hashlib.sha256(body).digest() + body


def _saved() -> bytes:
    counted = Windows(WindowRule(2, 1, 1, "first"), StreamBound(1))
    counted.push("a", np.array([1], np.float32), None)
    timed = Windows(TimeRule(2, 2, 1, 1.0), StreamBound(1))
    timed.push("b", np.array([1], np.float32), 100.0)
    return tail_file.encode({"counted": counted.tails(), "timed": timed.tails()}, clean=False)


def test_damage_is_recognised_at_every_byte() -> None:
    """A flipped bit or a missing end gives None, never other numbers."""
    data = _saved()
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1
        assert tail_file.decode(bytes(damaged)) is None
        assert tail_file.decode(data[:place]) is None
    assert tail_file.decode(data) is not None


def test_format_1_is_still_read() -> None:
    """What version 0.1 left at its clean stop goes on."""
    rows = np.arange(6, dtype="<f4").reshape(3, 2)
    tails = {"pump": [41, [3, 2], rows.tobytes()]}
    saved = tail_file.decode(_with_digest(msgspec.msgpack.encode({"format": 1, "pipelines": {"p": tails}})))
    assert saved is not None
    assert saved.clean
    tail = saved.pipelines["p"]["pump"]
    assert isinstance(tail, Tail)
    assert tail.count == 41
    np.testing.assert_array_equal(tail.rows, rows)


def test_other_contents_are_none() -> None:
    """A later format, and rows that do not fill their shape, are not guessed at."""
    later = {"format": 3, "clean": True, "pipelines": {}}
    short = {"format": 2, "clean": True, "pipelines": {"p": {"counted": {"a": [1, [3, 2], b"1234"]}}}}
    for content in (later, short, {}):
        assert tail_file.decode(_with_digest(msgspec.msgpack.encode(content))) is None


def test_a_time_window_of_another_grid_begins_anew() -> None:
    """After a change of rate or duration the kept readings lie on other points."""
    saved = tail_file.decode(_saved())
    assert saved is not None
    tail = saved.pipelines["timed"]["b"]
    assert Windows(TimeRule(2, 2, 1, 1.0), StreamBound(1)).restore("b", tail)
    for other in (TimeRule(2, 2, 1, 2.0), TimeRule(3, 2, 1, 1.0), WindowRule(2, 1, 1, "none")):
        assert not Windows(other, StreamBound(1)).restore("b", tail)
