"""Time windows against their definition on random streams, over restarts, and where a clock is wrong."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from window_reference import Found, Reference

from edge_runtime.stream import tail_file
from edge_runtime.stream.rules import Interpolation, NotTaken, StreamBound, TimeRule, Window, WindowRule
from edge_runtime.stream.window import Windows

ROUNDS = 350
STEP = 40.0  # seconds, the largest step of a clock that is none


def rule_of(chance: random.Random) -> TimeRule:
    """Return any rule with few rows."""
    return TimeRule(
        size=chance.choice([1, 2, 5, 8]),
        hop=chance.choice([1, 2, 3, 7, 10]),
        features=2,
        rate=chance.choice([0.5, 1.0, 4.0]),
        interpolation=chance.choice(["none", "previous", "linear"]),
        max_gap=chance.choice([0.25, 1.0, 2.5, 6.0]),
        on_gap=chance.choice(["skip", "mark"]),
        lateness=chance.choice([0.0, 0.0, 1.0, 3.5]),
        max_step=STEP,
        by_arrival=chance.random() < 0.3,
    )


def times_of(chance: random.Random, rate: float) -> list[float]:
    """Return the times of a bad sensor, in the order in which they come: eighths of points, so that all is exact."""
    now, found = chance.randrange(1000, 2000) / rate, []
    for _ in range(chance.randrange(5, 60)):
        now += chance.choice([8, 8, 8, 8, 8, 3, 1, 2, 13, 20, 90]) / 8 / rate
        kind = chance.random()
        if kind < 0.02:
            now += chance.choice([-1, 1]) * STEP * chance.choice([1.5, 3])
        time = now
        if kind > 0.97:
            time = now + chance.choice([-1, 1]) * STEP * chance.choice([1.5, 3])
        elif kind > 0.85:
            time = now - chance.randrange(1, 40) / 8 / rate
        elif kind > 0.8 and found:
            time = chance.choice(found[-3:])
        found.append(max(time, 0.0))
    return found


def same(actual: tuple[Window, ...] | NotTaken, expected: Sequence[Found] | str, rate: float) -> None:
    """Compare what the code says with what the definition says."""
    if isinstance(actual, str) or isinstance(expected, str):
        assert actual == expected
        return
    assert [(one.number, one.start) for one in actual] == [(one[0], one[1] / rate) for one in expected]
    for window, (_, first, rows, measured) in zip(actual, expected, strict=True):
        np.testing.assert_allclose(window.array, rows, rtol=1e-6)
        assert (window.measured, window.complete) == (pytest.approx(measured), measured == 1)
        assert window.end == (first + len(rows) - 1) / rate
        assert window.array.dtype == np.float32


@pytest.mark.parametrize("seed", range(4))
def test_windows_equal_their_definition(seed: int) -> None:
    """Disorder, gaps, duplicates, jumps, silence, several assets and restarts at random: same windows and counts."""
    chance, noise = random.Random(seed), np.random.default_rng(seed)
    total = 0
    for _ in range(ROUNDS):
        rule = rule_of(chance)
        names = ["a", "b"][: chance.choice([1, 2])]
        windows = Windows(rule, StreamBound(2))
        windows.advance(0.0)
        expected = {name: Reference(rule) for name in names}
        waiting = {name: times_of(chance, rule.rate) for name in names}
        carried = {"gap": 0, "clock_jump": 0}
        now, arrived = 0.0, dict.fromkeys(names, 0.0)
        while any(waiting.values()):
            name = chance.choice([name for name in names if waiting[name]])
            time, row = waiting[name].pop(0), noise.normal(0, 1, 2).astype(np.float32)
            result = windows.push(name, row, time)
            same(result, expected[name].push(time * rule.rate, row), rule.rate)
            total += len(result) if isinstance(result, tuple) else 0
            arrived[name] = now
            if chance.random() < 0.1:
                now += chance.choice([1.0, 2.0, 5.0, 30.0])
                closed = windows.advance(now)
                for stream, since in arrived.items():
                    ours = tuple(window for who, window in closed if who == stream)
                    same(ours, expected[stream].silent_for(now - since), rule.rate)
            if chance.random() < 0.05:
                for key in carried:
                    carried[key] += windows.counts[key]
                windows = _restarted(windows, rule)
                windows.advance(now)
                arrived = dict.fromkeys(names, now)
                for one in expected.values():
                    one.doubted = None
        assert carried["gap"] + windows.counts["gap"] == sum(one.gaps for one in expected.values())
        assert carried["clock_jump"] + windows.counts["clock_jump"] == sum(one.jumps for one in expected.values())
    assert total > 4 * ROUNDS


def _restarted(windows: Windows, rule: TimeRule) -> Windows:
    after = Windows(rule, StreamBound(2))
    saved = tail_file.decode(tail_file.encode({"p": list(windows.tails())}, clean=False))
    assert saved is not None
    for stream, tail in saved.pipelines["p"].items():
        assert after.restore(stream, tail)
    return after


def _closed(windows: Windows, times: Sequence[float], stream: str = "a") -> list[Window]:
    found: list[Window] = []
    for number, time in enumerate(times):
        made = windows.push(stream, np.array([number], np.float32), time)
        found += made if isinstance(made, tuple) else ()
    return found


RULE = TimeRule(size=4, hop=2, features=1, rate=10.0)
NOW = 1_796_000_000.0  # seconds since 1970, in December 2026


def test_decimal_times_lie_on_their_points() -> None:
    """A tenth of a second is no exact binary number, and still each reading is the one of its row."""
    windows = Windows(RULE, StreamBound(1))
    found = _closed(windows, [NOW + tenth / 10 for tenth in range(1000)])
    assert len(found) == 499
    assert all(window.complete for window in found)
    assert [window.array[0, 0] for window in found] == [*range(0, 998, 2)]
    assert windows.counts["gap"] == 0


@pytest.mark.parametrize("wrong", [0.0, 1.0, NOW - 3600, NOW + 3600, 2_145_916_800.0, 9e10])
def test_one_wrong_time_costs_one_reading(wrong: float) -> None:
    """1970, an hour to either side, 2038, the year 4821: rejected by name; the stream goes on as if it never came."""
    windows = Windows(RULE, StreamBound(1))
    assert len(_closed(windows, [NOW + tenth / 10 for tenth in range(6)])) == 2
    assert windows.push("a", np.zeros(1, np.float32), wrong) == "clock_jump"
    assert len(_closed(windows, [NOW + tenth / 10 for tenth in range(6, 10)])) == 2
    assert windows.counts["gap"] == 0


@pytest.mark.parametrize("wrong", [0.0, NOW - 3600, NOW + 3600, 2_145_916_800.0, 9e10])
def test_a_clock_that_is_set_is_followed(wrong: float) -> None:
    """The first reading after the step is doubted, the second confirms it: no stream stands still or runs wild."""
    windows = Windows(RULE, StreamBound(1))
    _closed(windows, [NOW + tenth / 10 for tenth in range(6)])
    found = _closed(windows, [wrong + tenth / 10 for tenth in range(1, 20)])
    assert len(found) >= 7
    assert found[-1].end is not None
    assert found[-1].end <= wrong + 2
    assert windows.counts["gap"] <= 2


def test_a_long_silence_is_counted_and_not_walked_through() -> None:
    """A pause of a year inside the largest step: the windows in it are one subtraction, not a loop."""
    windows = Windows(replace(RULE, max_step=1e9), StreamBound(1))
    year = 366 * 86400.0
    found = _closed(windows, [NOW, NOW + year, NOW + year + 0.1, NOW + year + 0.2, NOW + year + 0.3])
    assert [window.start for window in found] == [NOW + year]
    assert windows.counts["gap"] == round(year * 10 / 2)


def test_late_and_double_readings_have_a_name() -> None:
    """Within the lateness a reading finds its place; behind it, and where one has its time, it is refused by name."""
    windows = Windows(replace(RULE, lateness=0.5), StreamBound(1))
    row = np.zeros(1, np.float32)
    for time in (NOW, NOW + 1.0, NOW + 0.6):
        assert not isinstance(windows.push("a", row, time), str)
    assert windows.push("a", row, NOW + 0.6) == "duplicate_time"
    assert windows.push("a", row, NOW + 0.5) == "too_late"


def test_readings_by_arrival_are_never_refused() -> None:
    """Several in one moment, a clock set back a little or an hour, a night's pause: all are taken."""
    windows = Windows(replace(RULE, by_arrival=True, interpolation="previous", max_gap=0.2), StreamBound(1))
    for now in (NOW, NOW, NOW + 0.1, NOW - 1.0, NOW - 3600.0, NOW + 36000.0):
        windows.advance(now)
        assert not isinstance(windows.push("a", np.zeros(1, np.float32), None), str)
    assert windows.counts["clock_jump"] == 1


@pytest.mark.parametrize("how", ["none", "previous", "linear"])
def test_a_sensor_far_too_fast_fills_no_memory(how: Interpolation) -> None:
    """A hundred times the rate, out of order: what is kept is what the rows can use."""
    rule = replace(RULE, interpolation=how, max_gap=0.3 * (how != "none"), lateness=0.5)
    windows, chance = Windows(rule, StreamBound(1)), random.Random(1)
    _closed(windows, [NOW + number / 1000 + chance.random() / 10 for number in range(5000)])
    ((_, tail),) = windows.tails()
    assert len(tail.rows) <= 2 * (rule.size + rule.hop + 3 + 5 + 2)


@pytest.mark.parametrize(
    ("rule", "assets", "most"),
    [
        (WindowRule(1, 1, 3, "none"), 10_000, 200),
        (WindowRule(64, 1, 3, "none"), 10_000, 1400),
        (TimeRule(60, 60, 3, 1.0), 200, 2100),
    ],
    ids=["size 1", "size 64", "60 s at 1 per s"],
)
def test_memory_of_each_asset(rule: WindowRule | TimeRule, assets: int, most: int) -> None:
    """An asset needs no more bytes than docs/windows.md states, and one asset too many is refused."""
    names, rows = [f"asset-{number}" for number in range(assets)], np.zeros((assets, 3), np.float32)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        windows = Windows(rule, StreamBound(assets))
        for second in range(150 if isinstance(rule, TimeRule) else 2):
            for name, row in zip(names, rows, strict=True):
                windows.push(name, row, NOW + second)
        each = (tracemalloc.get_traced_memory()[0] - before) / assets
    finally:
        tracemalloc.stop()
    assert 50 < each < most
    assert windows.push("one more", rows[0], NOW) == "too_many_streams"
