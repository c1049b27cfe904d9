"""Windows against a brute-force reference, and over restarts."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.stream import tail_file
from edge_runtime.stream.window import Padding, Tail, WindowRule, Windows

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


def _stream(seed: int, count: int = 40) -> list[Rows]:
    return list(np.random.default_rng(seed).normal(0, 1, (count, 3)).astype(np.float32))


@pytest.mark.parametrize("padding", ["none", "first", "zero"])
@pytest.mark.parametrize("size", [1, 2, 5, 30, 50])
@pytest.mark.parametrize("hop", [1, 2, 5, 7])
def test_windows_equal_the_reference(padding: Padding, size: int, hop: int) -> None:
    """Two streams interleaved at random get exactly the windows each would get alone."""
    rule = WindowRule(size, hop, 3, padding)
    windows = Windows(rule, max_streams=2)
    rows = {"a": _stream(1), "b": _stream(2)}
    order = np.random.default_rng(3).permutation(["a"] * 40 + ["b"] * 40)
    seen: dict[str, list[tuple[int, Rows]]] = {"a": [], "b": []}
    taken = {"a": 0, "b": 0}
    for stream in order:
        number, window = windows.push(stream, rows[stream][taken[stream]])
        taken[stream] += 1
        assert number == taken[stream]
        if window is not None:
            seen[stream].append((number, window))
    for stream, expected in ((name, _reference(rows[name], rule)) for name in rows):
        assert [number for number, _ in seen[stream]] == [number for number, _ in expected]
        for (_, actual), (_, wanted) in zip(seen[stream], expected, strict=True):
            np.testing.assert_array_equal(actual, wanted)


def test_a_window_is_a_copy() -> None:
    """What a worker holds does not change when the next row comes."""
    windows = Windows(WindowRule(2, 1, 1, "first"), max_streams=1)
    _, window = windows.push("a", np.array([1], np.float32))
    assert window is not None
    windows.push("a", np.array([2], np.float32))
    np.testing.assert_array_equal(window, [[1], [1]])


def test_the_number_of_streams_is_bounded() -> None:
    """A known stream always has room, a new one only below the bound."""
    windows = Windows(WindowRule(1, 1, 1, "none"), max_streams=2)
    for name in "ab":
        assert windows.has_room_for(name)
        windows.push(name, np.zeros(1, np.float32))
    assert windows.has_room_for("a")
    assert not windows.has_room_for("c")
    assert len(windows) == 2


@pytest.mark.parametrize("cut", [0, 1, 4, 17, 39])
@pytest.mark.parametrize("padding", ["none", "first"])
def test_a_restart_in_the_middle_changes_nothing(padding: Padding, cut: int) -> None:
    """Saved to bytes and restored, a stream goes on with the same windows and numbers."""
    rule, rows = WindowRule(5, 2, 3, padding), _stream(7)
    before, after = Windows(rule, 10), Windows(rule, 10)
    seen = [before.push("a", row) for row in rows[:cut]]
    saved = tail_file.decode(tail_file.encode({"p": before}))
    assert saved is not None
    for stream, tail in saved.get("p", {}).items():
        assert after.restore(stream, tail)
    seen += [after.push("a", row) for row in rows[cut:]]
    found = [(number, window) for number, window in seen if window is not None]
    for (number, window), (wanted_number, wanted) in zip(found, _reference(rows, rule), strict=True):
        assert number == wanted_number
        np.testing.assert_array_equal(window, wanted)


def test_a_tail_of_another_shape_is_not_restored() -> None:
    """After a change of the window's size a stream begins anew."""
    windows = Windows(WindowRule(5, 1, 3, "none"), 1)
    assert not windows.restore("a", Tail(9, np.zeros((4, 3), np.float32)))
    assert windows.restore("a", Tail(9, np.zeros((5, 3), np.float32)))
    assert not windows.restore("b", Tail(9, np.zeros((5, 3), np.float32))), "no room for a second stream"


def test_damaged_state_is_recognised_at_every_byte() -> None:
    """A flipped bit or a missing end gives None, never other numbers."""
    windows = Windows(WindowRule(2, 1, 1, "first"), 1)
    windows.push("a", np.array([1], np.float32))
    data = tail_file.encode({"p": windows})
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1
        assert tail_file.decode(bytes(damaged)) is None
        assert tail_file.decode(data[:place]) is None
    assert tail_file.decode(data) is not None
