"""Windows against a brute-force reference, and over restarts."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.stream import tail_file
from edge_runtime.stream.rules import Window
from edge_runtime.stream.window import Padding, StreamBound, Tail, WindowRule, Windows

Rows = NDArray[np.float32]


def _reference(rows: list[Rows], rule: WindowRule) -> list[tuple[int, Rows]]:
    """Return (number of the last row, window) of every window, by looking at the whole history each time."""
    found = []
    for count in range(1, len(rows) + 1):
        history = rows[:count]
        front = {"none": [], "first": [rows[0]] * rule.size, "zero": [np.zeros_like(rows[0])] * rule.size}[rule.padding]
        start = rule.size if rule.padding == "none" else 1
        if count >= start and (count - start) % rule.hop == 0:
            found.append((count, np.stack([*front, *history][-rule.size :])))
    return found


def _push(windows: Windows, stream: str, row: Rows, time: float | None = None) -> tuple[Window, ...]:
    found = windows.push(stream, row, time)
    assert not isinstance(found, str)
    return found


def _stream(seed: int, count: int = 40) -> list[Rows]:
    return list(np.random.default_rng(seed).normal(0, 1, (count, 3)).astype(np.float32))


@pytest.mark.parametrize("padding", ["none", "first", "zero"])
@pytest.mark.parametrize("size", [1, 2, 5, 30, 50])
@pytest.mark.parametrize("hop", [1, 2, 5, 7])
def test_windows_equal_the_reference(padding: Padding, size: int, hop: int) -> None:
    """Two streams interleaved at random get exactly the windows each would get alone."""
    rule = WindowRule(size, hop, 3, padding)
    windows = Windows(rule, StreamBound(2))
    rows = {"a": _stream(1), "b": _stream(2)}
    order = np.random.default_rng(3).permutation(["a"] * 40 + ["b"] * 40)
    seen: dict[str, list[tuple[int, Rows]]] = {"a": [], "b": []}
    taken = {"a": 0, "b": 0}
    for stream in order:
        made = _push(windows, stream, rows[stream][taken[stream]], float(taken[stream]))
        taken[stream] += 1
        for window in made:
            assert (window.number, window.end) == (taken[stream], taken[stream] - 1)
            assert window.complete
            seen[stream].append((window.number, window.array))
    for stream, expected in ((name, _reference(rows[name], rule)) for name in rows):
        assert [number for number, _ in seen[stream]] == [number for number, _ in expected]
        for (_, actual), (_, wanted) in zip(seen[stream], expected, strict=True):
            np.testing.assert_array_equal(actual, wanted)


def test_a_window_is_a_copy() -> None:
    """What a worker holds does not change when the next row comes."""
    windows = Windows(WindowRule(2, 1, 1, "first"), StreamBound(1))
    (window,) = _push(windows, "a", np.array([1], np.float32))
    for value in range(2, 9):
        _push(windows, "a", np.array([value], np.float32))
    np.testing.assert_array_equal(window.array, [[1], [1]])


def test_the_number_of_streams_is_bounded() -> None:
    """A known stream always has room, a new one only below the bound."""
    windows = Windows(WindowRule(1, 1, 1, "none"), StreamBound(2))
    for name in "ab":
        assert windows.has_room_for(name)
        _push(windows, name, np.zeros(1, np.float32))
    assert windows.has_room_for("a")
    assert not windows.has_room_for("c")
    assert windows.push("c", np.zeros(1, np.float32), None) == "too_many_streams"
    assert len(windows) == 2


def test_the_stream_silent_longest_goes_for_a_new_one() -> None:
    """With evict_idle the number of streams stays; the one whose last reading is oldest goes, and its name is told."""
    gone: list[str] = []
    windows = Windows(WindowRule(1, 1, 1, "none"), StreamBound(2, "evict_idle"), gone.append)
    for name in "abaca":
        assert windows.has_room_for(name)
        _push(windows, name, np.zeros(1, np.float32))
    assert (gone, len(windows), windows.counts["evicted"]) == (["b"], 2, 1)
    (window,) = _push(windows, "b", np.zeros(1, np.float32))
    assert window.number == 1, "what was forgotten begins anew"
    assert gone == ["b", "c"]


def test_streams_idle_for_too_long_are_forgotten() -> None:
    """Time comes in as an argument: a stream is forgotten once it was silent longer than the bound says."""
    gone: list[str] = []
    windows = Windows(WindowRule(1, 1, 1, "none"), StreamBound(9, idle=60.0), gone.append)
    windows.advance(1000.0)
    _push(windows, "a", np.zeros(1, np.float32))
    windows.advance(1050.0)
    _push(windows, "b", np.zeros(1, np.float32))
    windows.advance(1060.0)
    assert gone == []
    windows.advance(1061.0)
    assert (gone, windows.counts["evicted"]) == (["a"], 1)


def test_many_rows_are_numbered_as_one_by_one() -> None:
    """Where a row is a window, a batch over several streams, refused ones among them, is as one row after the other."""
    names = [*"abacabbaaccb"]
    for bound in (StreamBound(2), StreamBound(2, "evict_idle")):
        one, many = (Windows(WindowRule(1, 1, 3, "none"), bound) for _ in range(2))
        singly = [one.push(name, row, None) for name, row in zip(names, _stream(5, len(names)), strict=True)]
        assert many.rows_are_windows
        numbers = many.number_rows(names[:5]) + many.number_rows(names[5:])
        assert numbers == [found if isinstance(found, str) else found[0].number for found in singly]
        assert not Windows(WindowRule(1, 2, 3, "none"), bound).rows_are_windows


@pytest.mark.parametrize("cut", [0, 1, 4, 17, 39])
@pytest.mark.parametrize("padding", ["none", "first"])
def test_a_restart_in_the_middle_changes_nothing(padding: Padding, cut: int) -> None:
    """Saved to bytes and restored, a stream goes on with the same windows and numbers."""
    rule, rows = WindowRule(5, 2, 3, padding), _stream(7)
    before, after = Windows(rule, StreamBound(10)), Windows(rule, StreamBound(10))
    found = [window for row in rows[:cut] for window in _push(before, "a", row)]
    saved = tail_file.decode(tail_file.encode({"p": before.tails()}, clean=True))
    assert saved is not None
    assert saved.clean
    for stream, tail in saved.pipelines["p"].items():
        assert after.restore(stream, tail)
    found += [window for row in rows[cut:] for window in _push(after, "a", row)]
    for window, (number, wanted) in zip(found, _reference(rows, rule), strict=True):
        assert (window.number, window.complete) == (number, True)
        np.testing.assert_array_equal(window.array, wanted)


def test_windows_over_a_crash_are_marked() -> None:
    """Rows from both sides of an unclean restart make an incomplete window: between them some may be missing."""
    rule = WindowRule(3, 1, 3, "none")
    before, after = Windows(rule, StreamBound(1)), Windows(rule, StreamBound(1))
    for row in _stream(1, 5):
        _push(before, "a", row)
    for stream, tail in before.tails():
        assert after.restore(stream, tail, clean=False)
    made = [window for row in _stream(2, 5) for window in _push(after, "a", row)]
    assert [(window.number, window.complete) for window in made] == [
        (6, False),
        (7, False),
        (8, True),
        (9, True),
        (10, True),
    ]


def test_a_tail_of_another_shape_is_not_restored() -> None:
    """After a change of the window's size a stream begins anew."""
    windows = Windows(WindowRule(5, 1, 3, "none"), StreamBound(1))
    assert not windows.restore("a", Tail(9, np.zeros((4, 3), np.float32)))
    assert windows.restore("a", Tail(9, np.zeros((5, 3), np.float32)))
    assert not windows.restore("b", Tail(9, np.zeros((5, 3), np.float32))), "no room for a second stream"
