"""How readings become windows: the rules, what a window is, and why a reading becomes part of none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import msgspec

from edge_runtime.inference.engine import Array

Padding: TypeAlias = Literal["none", "first", "zero"]
Interpolation: TypeAlias = Literal["none", "previous", "linear"]
OnGap: TypeAlias = Literal["skip", "mark"]
WhenFull: TypeAlias = Literal["reject", "evict_idle"]
# Why a reading is not taken into a stream; the name it is counted under.
NotTaken: TypeAlias = Literal["too_many_streams", "too_late", "duplicate_time", "clock_jump"]


class Window(msgspec.Struct, frozen=True, gc=False):
    """Rows that the model sees together.

    Attributes:
        array: float32 [size, features], oldest first; nobody else changes it.
        number: Readings of the stream taken in when it was made, from 1; for count windows its last one's number.
        start: Seconds since 1970 of its first row; None where a count window holds several rows.
        end: Seconds since 1970 of its last row; None where the reading had no time.
        complete: False where rows were filled in over a gap, or where readings around a crash may be missing.
        measured: Share of the rows that readings stand for, above 0 to 1.
    """

    array: Array
    number: int
    start: float | None
    end: float | None
    complete: bool = True
    measured: float = 1.0


@dataclass(frozen=True)
class WindowRule:
    """How rows become windows by their number.

    Attributes:
        size: Rows in a window.
        hop: A window is made every so many rows.
        features: Numbers in a row.
        padding: Before `size` rows were seen: ``none`` waits, ``first`` repeats the first row in front,
            ``zero`` puts zeros in front; with padding the first row already makes a window.
    """

    size: int
    hop: int
    features: int
    padding: Padding


@dataclass(frozen=True)
class TimeRule:
    """How rows become windows by their time, on a grid of points 1/rate apart that begins at 1970.

    Window k holds the points k * hop to k * hop + size - 1, for every stream the same, however it began.

    Attributes:
        size: Grid points, and so rows, in a window.
        hop: Grid points from one window's begin to the next one's.
        features: Numbers in a row.
        rate: Grid points per second.
        interpolation: The row of a point. ``none``: the earliest reading nearer to it than to any other point;
            ``previous``: the last reading at or before it; ``linear``: on the line between the readings around it.
        max_gap: Seconds; ``previous`` holds a reading no longer, ``linear`` joins no readings further apart.
        on_gap: What becomes of a window with points that no reading stands for: ``skip`` drops and counts it,
            ``mark`` fills them with the reading before (else the first after) and marks it incomplete.
            A window that no reading stands for is dropped in any case.
        lateness: Seconds; readings out of order by no more are put in order, later ones are not taken.
        max_step: Seconds; a time further than this from the stream's newest is a jump of the clock.
        by_arrival: Whether times are those of arrival. Then no reading is out of order, and a jump is a pause;
            a sensor's jump counts only when its next reading confirms it, as one wrong time must not begin a
            stream anew.
    """

    size: int
    hop: int
    features: int
    rate: float
    interpolation: Interpolation = "none"
    max_gap: float = 0.0
    on_gap: OnGap = "skip"
    lateness: float = 0.0
    max_step: float = 600.0
    by_arrival: bool = False

    @cached_property
    def gap_points(self) -> float:
        """`max_gap` in grid points."""
        return self.max_gap * self.rate

    @cached_property
    def late_points(self) -> float:
        """`lateness` in grid points."""
        return self.lateness * self.rate

    @cached_property
    def step_points(self) -> float:
        """`max_step` in grid points."""
        return self.max_step * self.rate


@dataclass(frozen=True)
class StreamBound:
    """How many streams are kept, and for how long.

    Attributes:
        most: Streams at one time.
        when_full: ``reject`` takes no new stream; ``evict_idle`` forgets the one that was silent longest for it.
        idle: Seconds of silence after which a stream is forgotten; None never forgets one.
    """

    most: int
    when_full: WhenFull = "reject"
    idle: float | None = None
