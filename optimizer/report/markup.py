"""HTML and SVG as values: whatever is not markup already is escaped, so that no name of a user's can become code."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


UNKNOWN = "-"
_EMPTY_ELEMENTS = frozenset({"meta", "line", "rect", "circle", "path"})


def tag(name: str, /, *children: str, **attributes: object) -> Markup:
    """Return an element; text children and attribute values are escaped.

    Args:
        name: Element name.
        children: Markup or text.
        attributes: Values by name, ``class_`` for class, ``http_equiv`` for http-equiv; None leaves one out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_attribute(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _EMPTY_ELEMENTS and not children:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(parts: Iterable[str]) -> Markup:
    """Return parts one after the other, text among them escaped."""
    return Markup("".join(part if isinstance(part, Markup) else html.escape(part) for part in parts))


@dataclass(frozen=True)
class Row:
    """Cells of one table row, and a class where the row is to look different."""

    cells: Sequence[str]
    class_: str | None = None


def table(headings: Sequence[str], rows: Sequence[Row], numeric: Iterable[int] = ()) -> Markup:
    """Return a table; columns of which nothing is known are left out, those in `numeric` are set to the right."""
    shown = [i for i in range(len(headings)) if not rows or any(row.cells[i] != UNKNOWN for row in rows)]
    classes = dict.fromkeys(numeric, "number")
    head = tag("tr", *(tag("th", headings[i], class_=classes.get(i)) for i in shown))
    body = [
        tag("tr", *(tag("td", row.cells[i], class_=classes.get(i)) for i in shown), class_=row.class_) for row in rows
    ]
    return tag("div", tag("table", tag("thead", head), tag("tbody", *body)), class_="scroll")


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with significant digits, a dash where it is unknown."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{places}f}" if places <= 6 else f"{value:.{digits - 1}e}"


def loss(value: float | None) -> str:
    """Return a loss with at most three digits, trailing zeros left out: it is a difference of counts."""
    return UNKNOWN if value is None or not math.isfinite(value) else f"{value:.3g}"


def size(count: int | None) -> str:
    """Return bytes in words, decimal units."""
    if count is None:
        return UNKNOWN
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:.2f} {unit}"
    return f"{count / 1000:.1f} kB"


def _attribute(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
