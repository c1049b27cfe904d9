"""The plots of a report: accuracy against latency, what each layer costs and gains, ranges against what was seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.report.axes import Scale, horizontal_axis, svg, tick_text, vertical_axis
from optimizer.report.markup import Markup, join, number, tag
from optimizer.report.ranges import bin_edges, clipped_share, is_drawable
from optimizer.report.record import Form, Layer, Number, Options, Range, Report, Score

MOST_LAYERS = 24
MOST_RANGES = 8
_WIDTH, _HEIGHT = 920.0, 400.0
_LETTER_WIDTH, _LABEL_HEIGHT = 7.5, 12.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 790.0, 34.0, 344.0


@dataclass(frozen=True)
class _Point:
    """A judged form: its number in the table, and metric value with the interval of the loss around it."""

    index: int
    form: Form
    value: float
    low: float
    high: float


def tradeoff(report: Report) -> Markup | None:
    """Return accuracy against latency, None where no form has both.

    Vertical bars are the interval of the loss, paired with float32 on the same samples: it, not the wider interval of
    the metric, decides about the budget. Forms that were out before timing stand at the right edge.
    """
    points = [point for index, form in enumerate(report.forms, 1) if (point := _point(index, form, report.options))]
    timed = [point for point in points if _milliseconds(point.form) is not None]
    if not timed:
        return None
    line = _budget_value(points[0].form.accuracy, report.options)
    shown = [value for point in points for value in (point.value, point.low, point.high)]
    y = Scale.around(shown if line is None else [*shown, line], _BOTTOM, _TOP)
    x = Scale(0.0, 1.12 * max(_milliseconds(p.form, "high") or 0.0 for p in timed), _LEFT, _RIGHT)
    untimed = [point for point in points if _milliseconds(point.form) is None]
    marks = [(x(_milliseconds(point.form) or 0.0), y(point.value), point) for point in timed]
    beside = [(822.0 + 28.0 * (place % 4), y(point.value), point) for place, point in enumerate(untimed)]
    return svg(
        _WIDTH,
        _HEIGHT,
        "Accuracy against latency of every form tried",
        vertical_axis(y, _LEFT, _RIGHT, _metric_title(report.options, points[0].form.accuracy)),
        horizontal_axis(x, _BOTTOM, _TOP, f"milliseconds per inference, batch 1 ({report.label})"),
        _budget(y, line, report.options),
        _front(x, y, timed),
        *(_mark(point, at, x, y) for at, _, point in marks),
        *(_mark(point, at, None, y) for at, _, point in beside),
        _not_timed() if untimed else "",
        _labels([*marks, *beside]),
    )


def sensitivity(layers: Sequence[Layer]) -> Markup | None:
    """Return the layers that lose most, or gain most time, as bars; None where neither is known."""
    known = [layer for layer in layers if layer.loss is not None or layer.milliseconds is not None]
    if not known:
        return None
    shown = sorted(known, key=lambda layer: (-(layer.loss or 0.0), -(layer.milliseconds or 0.0)))[:MOST_LAYERS]
    losses = [layer.loss or 0.0 for layer in shown]
    gains = [layer.milliseconds or 0.0 for layer in shown]
    bottom = _TOP + 20.0 * len(shown)
    left = Scale(0.0, max(losses) or 1.0, 250.0, 500.0)
    right = Scale(min(0.0, *gains), max(0.0, *gains) or 1.0, 620.0, 850.0)
    rows = [_layer_row(layer, _TOP + 20.0 * row, left, right) for row, layer in enumerate(shown)]
    return svg(
        _WIDTH,
        bottom + 12,
        "What each layer loses and gains in int8",
        tag("text", "noise on the outputs from this layer alone", x=250, y=20, class_="axis"),
        tag("text", "milliseconds gained in int8 (predicted)", x=620, y=20, class_="axis"),
        *rows,
        tag("line", x1=left(0), x2=left(0), y1=_TOP - 4, y2=bottom, class_="zero"),
        tag("line", x1=right(0), x2=right(0), y1=_TOP - 4, y2=bottom, class_="zero"),
    )


def widest(ranges: Sequence[Range]) -> list[Range]:
    """Return the ranges worth looking at: most clipped first, then those that few values stretch."""
    drawable = [found for found in ranges if is_drawable(found)]
    return sorted(drawable, key=lambda found: (-round(clipped_share(found), 6), -_emptiness(found), found.tensor))[
        :MOST_RANGES
    ]


def histogram(found: Range) -> Markup:
    """Return a tensor's histogram, counts on a logarithmic scale, what lies outside the chosen range hatched out."""
    low, high = found.low or 0.0, found.high or 0.0
    chosen = (found.chosen_low or 0.0, found.chosen_high or 0.0)
    x = Scale.around([low, high, *chosen], 8.0, 432.0, margin=0.02)
    top = math.log10(max([*found.counts, 1]) + 1)
    y = Scale(0.0, top, 120.0, 22.0)
    bars = []
    for index, count in enumerate(found.counts):
        left, right = bin_edges(found, index)
        if count > 0 and right >= left:
            inside = chosen[0] <= (left + right) / 2 <= chosen[1]
            height = y(math.log10(count + 1))
            wide = max(x(right) - x(left) - 0.5, 0.5)
            kind = "bar" if inside else "bar clipped"
            bars.append(tag("rect", x=x(left), y=height, width=wide, height=120.0 - height, class_=kind))
    ticks = x.ticks(4)
    return svg(
        440,
        146,
        f"Values of {found.tensor}",
        tag("text", found.tensor if len(found.tensor) < 58 else f"{found.tensor[:56]}…", x=8, y=12, class_="axis"),
        *bars,
        tag("line", x1=8, x2=432, y1=120, y2=120, class_="zero"),
        *(tag("line", x1=x(end), x2=x(end), y1=18, y2=126, class_="chosen-range") for end in chosen),
        *(tag("text", tick_text(tick, ticks), x=x(tick), y=138, class_="tick middle") for tick in ticks),
    )


def _point(index: int, form: Form, options: Options | None) -> _Point | None:
    found = form.accuracy
    if found is None or found.value is None:
        return None
    sign = -1.0 if options is None or options.higher_is_better else 1.0
    if found.reference is None or found.loss_low is None or found.loss_high is None:
        return _Point(index, form, found.value, found.value, found.value)
    ends = [found.reference + sign * found.loss_low, found.reference + sign * found.loss_high]
    return _Point(index, form, found.value, min(ends), max(ends))


def _milliseconds(form: Form, field: str = "value") -> Number:
    found: Number = None if form.milliseconds is None else getattr(form.milliseconds, field)
    return found


def _budget_value(score: Score | None, options: Options | None) -> Number:
    if options is None or options.allowed is None or score is None or score.reference is None:
        return None
    return score.reference + (-options.allowed if options.higher_is_better else options.allowed)


def _metric_title(options: Options | None, score: Score | None) -> str:
    if options is None:
        return score.metric if score else "metric"
    return f"{options.metric} ({'higher' if options.higher_is_better else 'lower'} is better)"


def _budget(y: Scale, line: Number, options: Options | None) -> Markup:
    if line is None or options is None:
        return Markup("")
    return join(
        [
            tag("line", x1=_LEFT, x2=_WIDTH, y1=y(line), y2=y(line), class_="budget"),
            tag("text", f"budget: {options.budget}", x=_LEFT + 6, y=y(line) - 6, class_="budget-text"),
        ]
    )


def _front(x: Scale, y: Scale, timed: Sequence[_Point]) -> Markup:
    on = sorted((_milliseconds(p.form) or 0.0, p.value) for p in timed if p.form.pareto)
    if len(on) < 2:
        return Markup("")
    return tag("path", d="M" + " L".join(f"{x(a):.1f} {y(b):.1f}" for a, b in on), class_="front")


def _mark(point: _Point, at: float, x: Scale | None, y: Scale) -> Markup:
    """Return a form's mark and error bars; `x` is None where it was not timed."""
    form, kind = point.form, _kind(point.form)
    parts = [tag("line", x1=at, x2=at, y1=y(point.low), y2=y(point.high), class_=f"error {kind}")]
    low, high = _milliseconds(form, "low"), _milliseconds(form, "high")
    if x is not None and low is not None and high is not None:
        parts.append(tag("line", x1=x(low), x2=x(high), y1=y(point.value), y2=y(point.value), class_=f"error {kind}"))
    said = f"{point.index}: {form.name}, {number(point.value, 4)}, {number(_milliseconds(form))} ms"
    radius = 7 if form.chosen else 5
    return tag(
        "g", *parts, tag("circle", tag("title", said), cx=at, cy=y(point.value), r=radius, class_=f"mark {kind}")
    )


def _kind(form: Form) -> str:
    return "chosen" if form.chosen else "out" if form.rejected else "in"


def _labels(marks: Sequence[tuple[float, float, _Point]]) -> Markup:
    """Return the forms' numbers beside their marks, each moved up until it covers no other."""
    placed: list[tuple[float, float, float]] = []
    texts = []
    for at, top, point in sorted(marks, key=lambda mark: (not mark[2].form.chosen, mark[0])):
        text = f"{point.index} chosen" if point.form.chosen else str(point.index)
        x, y, end = at + 9, top - 8, at + 9 + _LETTER_WIDTH * len(text)
        while any(x < right and left < end and abs(y - other) < _LABEL_HEIGHT for left, right, other in placed):
            y -= _LABEL_HEIGHT
        placed.append((x, end, y))
        texts.append(tag("text", text, x=x, y=y, class_=f"mark-text {_kind(point.form)}"))
    return join(texts)


def _not_timed() -> Markup:
    return join(
        [
            tag("line", x1=_RIGHT + 8, x2=_RIGHT + 8, y1=_TOP, y2=_BOTTOM, class_="zero"),
            tag("text", "not timed", x=(_RIGHT + _WIDTH) / 2, y=_BOTTOM + 16, class_="tick middle"),
        ]
    )


def _layer_row(layer: Layer, y: float, left: Scale, right: Scale) -> Markup:
    name = layer.name if len(layer.name) <= 36 else f"…{layer.name[-35:]}"
    kind = "bar" if layer.precision.startswith("int") else "bar float"
    parts = [tag("text", tag("title", layer.name), name, x=240, y=y + 11, class_="tick end")]
    for value, scale in ((layer.loss, left), (layer.milliseconds, right)):
        if value is None:
            continue
        start, end = sorted((scale(0.0), scale(value)))
        parts.append(tag("rect", x=start, y=y, width=max(end - start, 0.5), height=14, class_=kind))
        parts.append(tag("text", number(value), x=end + 6, y=y + 11, class_="tick"))
    return tag("g", *parts)


def _emptiness(found: Range) -> float:
    """Return how many times wider the range is than what holds the middle 98 % of the values."""
    total, seen = sum(found.counts), 0
    inner = []
    for index, count in enumerate(found.counts):
        if 0.01 * total <= seen + count / 2 <= 0.99 * total and count:
            inner.append(index)
        seen += count
    if not inner:
        return 1.0
    return len(found.counts) / (inner[-1] - inner[0] + 1)
