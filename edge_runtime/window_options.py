"""What can be configured about windows, and what of it does not go together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from edge_runtime.config_problems import Key, Problem
from edge_runtime.option_types import Duration, seconds
from edge_runtime.stream.pipeline import Layout
from edge_runtime.stream.rules import Interpolation, OnGap, Padding, TimeRule, WindowRule

Count: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000, description="a whole number from 1 to 1000000")]
Rate: TypeAlias = Annotated[
    float, Meta(gt=0, le=100_000, description="a number of rows per second, above 0 and up to 100000")
]

_MOST_POINTS = 1_000_000
_WHOLE = 1e-6  # 0.1 s at 30 rows per second are 3.0000000000000004 rows


class WindowConfig(Struct, frozen=True):
    """How readings become the model's input: by number, or with `duration` by time; see `stream.rules`."""

    size: Count = 1
    hop: Count = 1
    padding: Padding = "none"
    layout: Layout = "time_first"
    duration: Duration | None = None
    every: Duration | None = None
    rate: Rate | None = None
    interpolation: Interpolation = "none"
    max_gap: Duration | None = None
    on_gap: OnGap = "skip"
    time: Literal["arrival", "sensor"] = "arrival"
    lateness: Duration = "0s"
    max_step: Duration = "10min"


def rule_of(window: WindowConfig, features: int) -> WindowRule | TimeRule:
    """Return the rule that a configuration without problems describes; `features` numbers are in a row."""
    if window.duration is None or window.rate is None:
        return WindowRule(window.size, window.hop, features, window.padding)
    return TimeRule(
        size=round(seconds(window.duration) * window.rate),
        hop=round(seconds(window.every or window.duration) * window.rate),
        features=features,
        rate=window.rate,
        interpolation=window.interpolation,
        max_gap=seconds(window.max_gap or "0s"),
        on_gap=window.on_gap,
        lateness=seconds(window.lateness),
        max_step=seconds(window.max_step),
        by_arrival=window.time == "arrival",
    )


def problems_of(window: WindowConfig, time_field: str | None, key: Key) -> list[Problem]:
    """Return what does not go together.

    Args:
        window: The options.
        time_field: Where readings say their time.
        key: Of the table.
    """
    found = _of_time_windows(window, time_field) if window.duration else _of_count_windows(window)
    return [Problem("E-CONFIG-VALUE", (*key, name), message, fix) for name, message, fix in found]


def _of_count_windows(window: WindowConfig) -> Iterator[tuple[str, str, str]]:
    default = WindowConfig()
    for name in ("every", "rate", "interpolation", "max_gap", "on_gap", "time", "lateness", "max_step"):
        if getattr(window, name) != getattr(default, name):
            fix = 'add duration = "10s", how long a window is, or take it out'
            yield name, f"{name} is an option of windows by time, and there is no duration", fix


def _of_time_windows(window: WindowConfig, time_field: str | None) -> Iterator[tuple[str, str, str]]:
    default = WindowConfig()
    for name in ("size", "hop", "padding"):
        if getattr(window, name) != getattr(default, name):
            yield name, f"{name} and duration exclude each other", "keep one: a window by number or by time"
    if window.time == "sensor" and time_field is None:
        yield "time", 'time = "sensor" needs readings that say their time', 'set source.time_field, or time = "arrival"'
    if window.time == "arrival" and seconds(window.lateness):
        fix = 'set time = "sensor" and source.time_field, or take lateness out'
        yield "lateness", "readings are never late by their time of arrival", fix
    if (window.interpolation == "none") != (window.max_gap is None):
        fix = 'max_gap = "2s" with interpolation = "previous" or "linear", and neither with "none"'
        yield "max_gap", f'interpolation = "{window.interpolation}" does not go with that', fix
    if window.rate is None:
        fix = "rate = 100.0, the rows per second that the model was trained on"
        yield "rate", "duration needs the rate, as a model takes a fixed number of rows", fix
    else:
        yield from _of_lengths(window, window.rate)


def _of_lengths(window: WindowConfig, rate: float) -> Iterator[tuple[str, str, str]]:
    given = {name: getattr(window, name) for name in ("duration", "every", "max_gap", "lateness")}
    lengths = {name: seconds(text) for name, text in given.items() if text is not None}
    for name in ("duration", "every"):
        rows = lengths.get(name, 1 / rate) * rate
        if abs(rows - round(rows)) > _WHOLE * max(rows, 1.0) or round(rows) < 1:
            fix = f"write a whole multiple of {1 / rate:.6g} s, or another rate"
            yield name, f"{name} at {rate:g} rows per second is {rows:.6g} rows, and they must be whole", fix
    if sum(lengths.values()) * rate > _MOST_POINTS:
        words = f"{' + '.join(lengths)} at {rate:g} rows per second are more than {_MOST_POINTS} rows"
        yield "duration", f"{words} to keep for each stream", "shorten them, or lower the rate"
    if max(lengths.values()) > seconds(window.max_step):
        longest = max(lengths, key=lambda name: lengths[name])
        fix = f'write max_step = "{given[longest]}" or longer'
        yield "max_step", f'{longest} = "{given[longest]}" is longer, so that a usual pause would be a jump', fix
