"""The guard of readings against a naive reference that looks at the whole history."""

from __future__ import annotations

import math
from collections import Counter

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.stream.input_guard import GuardRule, GuardState, InputGuard

Rows = NDArray[np.float32]
NAMES = ("a", "b", "c")


def _faults(rows: list[Rows], rule: GuardRule) -> list[str]:
    """Return what is wrong with the last of all rows so far."""
    columns = (
        [(rule.names[0], rows)] if rule.is_array else [(n, [r[i] for r in rows]) for i, n in enumerate(rule.names)]
    )
    outside, stuck = [], []
    for name, values in columns:
        low, high = (np.float32(limit) for limit in rule.limits.get(name, (-3.4e38, 3.4e38)))
        newest = np.atleast_1d(values[-1])
        if not all(low <= value <= high for value in newest):
            outside.append(f"{name} outside_limits")
        after = rule.stuck_after.get(name, math.inf)
        # An array of NaN that repeats has the same bytes, and is stuck as well.
        if len(values) >= after and all(
            np.array_equal(value, values[-1], equal_nan=rule.is_array) for value in values[-int(after) :]
        ):
            stuck.append(f"{name} stuck")
    return outside[:1] + stuck[:1]


def _readings(rng: np.random.Generator, count: int) -> Rows:
    """Return rows of few values, so that they repeat, with some that no sensor should send."""
    rows = rng.choice([0.0, 0.1, 0.2, 0.3], (count, 3)).astype(np.float32)
    for index in range(1, count):
        for column in range(3):
            if rng.random() < 0.6:
                rows[index, column] = rows[index - 1, column]
    rows[rng.random((count, 3)) < 0.03] = rng.choice([np.nan, np.inf, -np.inf, 9.0])
    return rows


def _rule(rng: np.random.Generator, *, is_array: bool) -> GuardRule:
    names = ("samples",) if is_array else NAMES
    limits = {name: (-1.0, float(rng.choice([0.2, 0.3, 5.0]))) for name in names if rng.random() < 0.7}
    stuck = {name: int(rng.integers(2, 6)) for name in names if rng.random() < 0.7}
    return GuardRule(names, is_array, limits, stuck, window=int(rng.integers(1, 5)))


@pytest.mark.parametrize("is_array", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_qualities_equal_the_reference(seed: int, *, is_array: bool) -> None:
    """Alone, in batches, and over restarts: a window is bad exactly while it holds a bad row, on 1200 streams."""
    rng = np.random.default_rng([seed, is_array])
    for _ in range(15):
        rule = _rule(rng, is_array=is_array)
        guard, faults = InputGuard(rule), Counter[str]()
        streams = {"x": _readings(rng, 30), "y": _readings(rng, 30)}
        bad: dict[str, list[bool]] = {"x": [], "y": []}
        order = list(rng.permutation(["x"] * 30 + ["y"] * 30))
        while order:
            if rng.random() < 0.05:
                guard, faults = _restarted(guard, rule), faults + guard.faults
            size = int(rng.choice([1, 1, 4, 9]))
            batch, order = order[:size], order[size:]
            rows, expected = [], []
            for stream in batch:
                rows.append(streams[stream][len(bad[stream])])
                history = list(streams[stream][: len(bad[stream]) + 1])
                has_rules = bool(rule.limits or rule.stuck_after)
                bad[stream].append(has_rules and bool(_faults(history, rule)))
                expected.append("bad_input" if any(bad[stream][-rule.window :]) else "good")
            found = guard.check_many(batch, np.stack(rows)) if size > 1 else [guard.check(batch[0], rows[0])]
            assert found == expected
        whole = [f for rows in streams.values() for end in range(30) for f in _faults(list(rows[: end + 1]), rule)]
        if rule.limits or rule.stuck_after:
            assert faults + guard.faults == Counter(whole)


def _restarted(guard: InputGuard, rule: GuardRule) -> InputGuard:
    data = msgspec.msgpack.encode(guard.save())
    new = InputGuard(rule)
    for stream, state in msgspec.msgpack.decode(data, type=dict[str, GuardState]).items():
        new.restore(stream, state)
    return new


@pytest.mark.parametrize("seed", range(20))
def test_windows_by_time_equal_the_reference(seed: int) -> None:
    """In any order of times, restarted or not: bad where a bad row, of those so far, lies in the window or after it."""
    rng = np.random.default_rng(seed)
    rule = GuardRule(("a",), False, {"a": (0, 1)}, {}, reach=0.5)
    guard, seen = InputGuard(rule), list[tuple[float, float]]()
    for step in range(200):
        time, value = step / 4 + float(rng.integers(-8, 9)) / 4, float(rng.choice([0.5, 0.5, 0.5, 0.5, 2.0]))
        seen.append((time, value))
        row = np.array([value], np.float32)
        quality = guard.check("s", row, time) if rng.random() < 0.5 else guard.check_many(["s"], row[None], [time])[0]
        assert quality == ("bad_input" if value > 1 else "good")
        if rng.random() < 0.05:
            guard = _restarted(guard, rule)
        start = time - float(rng.integers(0, 20)) / 4
        assert guard.over("s", start) == ("bad_input" if any(v > 1 and t >= start - 0.5 for t, v in seen) else "good")
    assert guard.over("never seen", 0) == "good"


def test_a_limit_is_inside_as_the_sensor_writes_it() -> None:
    """0.1 in 32 bits is a little more than 0.1, and not above a limit of 0.1; limits beyond float32 are no limits."""
    guard = InputGuard(GuardRule(("a", "b"), False, {"a": (-0.1, 0.1), "b": (-1e300, 1e300)}, {}))
    assert guard.check("s", np.array([0.1, 3e38], np.float32)) == "good"
    assert guard.check("s", np.array([0.1001, 0], np.float32)) == "bad_input"
    assert guard.check("s", np.array([0.1, np.inf], np.float32)) == "bad_input"


def test_without_a_rule_nothing_is_looked_at_or_remembered() -> None:
    """A pipeline that asks for nothing pays nothing."""
    guard = InputGuard(GuardRule(("a",), False, {}, {}))
    assert guard.check("s", np.array([np.nan], np.float32)) == "good"
    assert guard.check_many(["s", "t"], np.zeros((2, 1), np.float32)) == ["good", "good"]
    guard.restore("s", GuardState([0.0], [1]))
    assert len(guard) == 0


def test_a_forgotten_stream_and_one_of_other_fields_begin_anew() -> None:
    """Nothing of an evicted stream is left, and what was saved with other fields is not taken."""
    guard = InputGuard(GuardRule(("a",), False, {}, {"a": 2}))
    row = np.array([1], np.float32)
    guard.check("s", row)
    guard.evict("s")
    assert guard.check("s", row) == "good"
    assert guard.check("s", row) == "bad_input"
    guard.evict("s")
    guard.evict("never seen")
    guard.restore("s", GuardState([1.0, 2.0], [9, 9]))
    assert guard.check("s", row) == "good"
