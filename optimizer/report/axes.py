"""Scales, round tick values and axes for the plots, drawn as SVG."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.report.markup import Markup, join, tag

_LARGEST = 1e30  # what lies beyond would overflow on the way to a pixel; nothing that a model computes does


@dataclass(frozen=True)
class Scale:
    """A linear map from data (`low` to `high`) to pixels (`start` to `end`)."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float, margin: float = 0.08) -> Scale:
        """Return a scale that shows all values with a margin on both sides; equal values get room as well."""
        bounded = [min(max(value, -_LARGEST), _LARGEST) for value in values if not math.isnan(value)] or [0.0]
        low, high = min(bounded), max(bounded)
        room = (high - low) * margin or abs(high) * 0.01 or 1.0
        return cls(low - room, high + room, start, end)

    def __call__(self, value: float) -> float:
        """Return the pixel of a value; values far outside stay near the plot."""
        share = (min(max(value, -_LARGEST), _LARGEST) - self.low) / ((self.high - self.low) or 1.0)
        return self.start + min(max(share, -1.0), 2.0) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Return round values inside the scale."""
        step = _round_step((self.high - self.low) / about)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [index * step for index in range(first, last + 1)]


def tick_text(value: float, ticks: Sequence[float]) -> str:
    """Return a tick's value with as many decimals as the step between the ticks needs."""
    step = min((abs(b - a) for a, b in itertools.pairwise(ticks)), default=abs(value) or 1.0)
    if not 1e-5 <= step < 1e6:
        return f"{value:.2g}"
    return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def horizontal_axis(scale: Scale, y: float, top: float, title: str) -> Markup:
    """Return the x axis below a plot that begins at `top`: grid lines, values and title."""
    ticks = scale.ticks()
    parts = [
        join(
            [
                tag("line", x1=scale(tick), x2=scale(tick), y1=top, y2=y, class_="grid"),
                tag("text", tick_text(tick, ticks), x=scale(tick), y=y + 16, class_="tick middle"),
            ]
        )
        for tick in ticks
    ]
    middle = (scale.start + scale.end) / 2
    return join([*parts, tag("text", title, x=middle, y=y + 36, class_="axis middle")])


def vertical_axis(scale: Scale, x: float, right: float, title: str) -> Markup:
    """Return the y axis left of a plot that ends at `right`: grid lines, values and, above it, the title."""
    ticks = scale.ticks()
    parts = [
        join(
            [
                tag("line", x1=x, x2=right, y1=scale(tick), y2=scale(tick), class_="grid"),
                tag("text", tick_text(tick, ticks), x=x - 8, y=scale(tick) + 4, class_="tick end"),
            ]
        )
        for tick in ticks
    ]
    return join([*parts, tag("text", title, x=0, y=min(scale.start, scale.end) - 12, class_="axis")])


def svg(width: float, height: float, title: str, *parts: str) -> Markup:
    """Return a drawing that shrinks with the page; the title is read aloud and shown on hovering."""
    return tag(
        "svg",
        tag("title", title),
        *parts,
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
        role="img",
        aria_label=title,
    )


def _round_step(step: float) -> float:
    """Return the next of 1, 2, 5 times a power of ten."""
    if not step > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next((factor * power for factor in (1, 2, 5) if factor * power >= step * (1 - 1e-9)), 10 * power)
