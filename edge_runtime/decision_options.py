"""What can be configured between a model's decision and its message: alarm, report, quality; docs/alarms.md."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from edge_runtime.option_types import Duration

Few: TypeAlias = Annotated[int, Meta(ge=1, le=1000, description="a whole number from 1 to 1000")]
Repeats: TypeAlias = Annotated[int, Meta(ge=2, le=1_000_000, description="a whole number from 2 to 1000000")]
Band: TypeAlias = Annotated[float, Meta(ge=0, description="a number of at least 0")]
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1, description="a number from 0 to 1")]


class AlarmConfig(Struct, frozen=True):
    """When an alarm is raised and cleared; see `stream.alarm.AlarmRule`."""

    k: Few = 1
    n: Few = 1
    on_delay: Duration = "0s"
    on_count: Few = 1
    off_delay: Duration = "0s"
    off_count: Few = 1
    cool_down: Duration = "0s"
    clear_below: float | None = None
    clear_above: float | None = None


class ReportConfig(Struct, frozen=True):
    """Which predictions are published; see `stream.report.ReportRule`."""

    on: Literal["every", "change"] = "every"
    dead_band: Band | None = None
    dead_band_percent: Band | None = None
    at_least_every: Duration | None = None
    at_most_every: Duration | None = None


class QualityConfig(Struct, frozen=True):
    """Which readings and predictions are not trusted; see `stream.input_guard` and `stream.quality`."""

    limits: dict[str, tuple[float, float]] | tuple[float, float] | None = None
    stuck_after: Repeats | dict[str, Repeats] | None = None
    stale_after: Duration | None = None
    min_confidence: Share | None = None
    on_bad: Literal["hold", "alarm", "clear"] = "hold"
    on_uncertain: Literal["use", "hold"] = "use"
