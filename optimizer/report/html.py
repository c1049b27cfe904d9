"""A report as one HTML page that needs nothing else: no script, no font, no network; its plots are inline SVG."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from optimizer.report import sections
from optimizer.report.markup import Markup, join, loss, number, size, tag
from optimizer.report.record import Form, Report
from optimizer.report.speeds import direction

_STYLE = Path(__file__).with_name("page.css")
# A second wall behind escaping: the browser itself runs no script and fetches nothing for this page.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(report: Report) -> str:
    """Return the whole page; equal reports give equal pages, and whatever a report lacks is left out or said."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{report.label_of_model}: edgeopt report"),
        tag("style", Markup(_STYLE.read_text(encoding="utf-8"))),
    )
    body = tag(
        "body",
        tag(
            "header",
            tag("h1", report.label_of_model),
            tag("p", f"for {report.target}; made by edgeopt on {report.machine}", class_="soft"),
        ),
        tag("main", *_summary(report), *sections.all_of(report)),
    )
    return f'<!DOCTYPE html>\n<html lang="en">{head}\n{body}</html>\n'


def _summary(report: Report) -> Iterator[Markup]:
    chosen = report.chosen
    name = f"{chosen.name} ({chosen.precision})" if chosen else "no form is marked as chosen"
    yield tag("div", tag("p", tag("strong", f"Chosen: {name}")), tag("p", report.chosen_because), class_="verdict")
    if chosen is not None:
        yield tag("div", *_figures(report, chosen), class_="figures")
    if report.warnings:
        items = [tag("li", warning) for warning in report.warnings]
        yield tag("section", tag("h2", "Before you rely on it"), tag("ul", *items), class_="warnings")


def _figures(report: Report, chosen: Form) -> Iterator[Markup]:
    before = report.model.bytes
    share = f"{(chosen.bytes or 0) / before:.2f} x of {size(before)}" if before and chosen.bytes else ""
    yield _figure("size", size(chosen.bytes), share)
    time = chosen.milliseconds
    if time is not None:
        count = report.options.threads if report.options else None
        threads = "" if count is None else f", {count} thread{'s' if count > 1 else ''}"
        more = f"{report.label}, 95 % interval {number(time.low)} to {number(time.high)}{threads}"
        yield _figure("one inference, batch 1", f"{number(time.value)} ms", more)
    faster = chosen.speedup
    if faster is not None and chosen is not report.forms[0]:
        if chosen.quantity == "time":
            more = f"{report.label}, 95 % interval {number(faster.low)} to {number(faster.high)}"
            yield _figure("speed against as given", f"{number(faster.value)} x", more)
        elif faster.value is not None:
            more = direction(chosen.quantity, faster.value)
            yield _figure("direction against as given", f"{number(faster.value)} x", more)
    found = chosen.accuracy
    if found is None:
        yield _figure("accuracy", "unverified", "no data to check it with were given")
        return
    budget = f", budget {report.options.budget}" if report.options else ""
    lost = f"loss {loss(found.loss)} ({loss(found.loss_low)} to {loss(found.loss_high)}){budget}"
    against = f"float32 {number(found.reference, 4)}; {found.samples} samples"
    more = join([tag("div", against), tag("div", lost)])
    yield _figure(found.metric, number(found.value, 4), more)


def _figure(what: str, value: str, more: str) -> Markup:
    return tag(
        "div",
        tag("div", what, class_="what"),
        tag("div", value, class_="value"),
        tag("div", more, class_="more"),
        class_="figure",
    )
