"""Time windows against their definition on random streams, over restarts, and where a clock is wrong."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from window_reference import Found, Reference

from edge_runtime.stream import tail_file
from edge_runtime.stream.rules import NotTaken, StreamBound, TimeRule, Window
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
