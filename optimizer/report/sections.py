"""The page's sections, each left out where the report has nothing for it."""

from __future__ import annotations

from collections.abc import Iterator

from optimizer.report import plots
from optimizer.report.explain import outcome
from optimizer.report.markup import UNKNOWN, Markup, Row, join, loss, number, size, table, tag
from optimizer.report.ranges import clipped_share
from optimizer.report.record import Range, Report, Span
from optimizer.report.speeds import seen_in_words

LABELS = {
    "measured": "timed on that very device",
    "emulated": "computed by the device's own onnxruntime in emulation: numerics only, never time",
    "predicted": "from a profile: a direction, never milliseconds",
    "published": "by a named source",
}
_SMALL_SHARE = 1e-6


def all_of(report: Report) -> Iterator[Markup]:
    """Yield all sections in the order a reader needs them."""
    yield from _tradeoff(report)
    yield _forms(report)
    yield from _seen(report)
    yield from _layers(report)
    yield from _ranges(report)
    yield from _repairs(report)
    yield from _lint(report)
    yield from _rewrites(report)
    yield from _operators(report)
    yield _environment(report)


def _section(title: str, *parts: str) -> Markup:
    return tag("section", tag("h2", title), *parts)


def _note(text: str) -> Markup:
    return tag("p", text, class_="note")


def _tradeoff(report: Report) -> Iterator[Markup]:
    plot = plots.tradeoff(report)
    if plot is None:
        yield _section("Accuracy against latency", _note("No form has both a measured accuracy and a measured time."))
        return
    confidence = f"{100 * report.options.confidence:g} %" if report.options else "stated"
    yield _section(
        "Accuracy against latency",
        tag("figure", plot),
        _note(
            "The numbers are those of the table below. Filled: chosen; light: inside the budget and worth it; hollow:"
            " out. The line joins the forms that no other one beats in both. Horizontal bars: 95 % interval of the"
            f" time. Vertical bars: {confidence} interval of the loss against float32 on the same samples."
        ),
    )


def _forms(report: Report) -> Markup:
    metric = report.options.metric if report.options else "metric"
    ratio = "x as given" if report.label == "measured" else "x as given (predicted)"
    headings = ["#", "form", "size", "ms", ratio, metric, "loss", "int / float / conv.", "outcome"]
    rows = []
    for index, form in enumerate(report.forms, 1):
        found, kernels = form.accuracy, form.kernels
        cells = [
            str(index),
            join([tag("div", form.name), tag("div", form.precision, class_="note")]),
            size(form.bytes),
            _span(form.milliseconds),
            _span(form.speedup) if index > 1 else "1",
            number(found.value, 4) if found else UNKNOWN,
            loss(found.loss) if found else UNKNOWN,
            f"{kernels.integer} / {kernels.floating} / {kernels.conversions}" if kernels else UNKNOWN,
            outcome(report, form),
        ]
        class_ = "chosen" if form.chosen else "out" if form.rejected else None
        rows.append(Row(cells, class_))
    title = f"Forms tried: {len(report.forms)}"
    how = f"Times are measured, interleaved, on {report.machine}, with 95 % intervals."
    if report.label != "measured":
        how = f"Ratios are {report.label} for {report.machine}: a direction, no times."
    note = (
        f"{how} int / float / conv.: multiplying operators on integer and on float kernels, and conversions between the"
        " two, as executed where this package was built."
    )
    body = table(headings, rows, (0, 2, 3, 4, 5, 6, 7))
    return _section(title, tag("div", body, class_="forms"), _note(note))


def _span(span: Span | None) -> str:
    if span is None:
        return UNKNOWN
    interval = tag("div", f"{number(span.low)} to {number(span.high)}", class_="note")
    return join([tag("div", number(span.value)), interval])


def _seen(report: Report) -> Iterator[Markup]:
    if report.seen:
        rows = [Row([tag("code", one.variant), seen_in_words(one.evidence)]) for one in report.seen]
        yield _section("Seen at its targets", table(["variant", "what it computes there"], rows))
    for other in report.others:
        rows = [
            Row([form.name, _span(form.speedup), outcome(report, form)], "chosen" if form.chosen else None)
            for form in other.forms
        ]
        body = table(["form", f"x as given ({other.label})", "outcome"], rows, (1,))
        yield _section(f"Forms tried for {other.target}", body, _note(f"Speeds are {other.label} for {other.machine}."))


def _layers(report: Report) -> Iterator[Markup]:
    if not report.layers:
        return
    plot = plots.sensitivity(report.layers)
    measured = sum(layer.loss is not None for layer in report.layers)
    figure = []
    if plot is not None:
        most = plots.MOST_LAYERS
        shown = f"The {most} that lose most, of {measured} measured. " if measured > most else ""
        text = "Loss: mean squared change of the outputs as a share of their variance, with this layer alone in int8."
        figure = [tag("figure", plot), _note(f"{shown}{text} Coloured: int8 in the chosen form; grey: float.")]
    rows = [
        Row(
            [
                tag("code", layer.name or "(without name)"),
                layer.operator,
                layer.precision,
                number(layer.loss),
                number(layer.milliseconds),
                number(layer.outlier_ratio),
                f"{number(layer.low)} to {number(layer.high)}" if layer.low is not None else UNKNOWN,
                layer.reason,
            ]
        )
        for layer in report.layers
    ]
    headings = [
        "layer",
        "operator",
        "precision",
        "loss alone",
        "predicted gain, ms",
        "outlier ratio",
        "input range",
        "why",
    ]
    counts = ", ".join(f"{_count(report, kind)} {kind}" for kind in sorted({x.precision for x in report.layers}))
    yield _section(f"Layers in the chosen form: {counts}", *figure, table(headings, rows, (3, 4, 5, 6)))


def _count(report: Report, precision: str) -> int:
    return sum(layer.precision == precision for layer in report.layers)


def _ranges(report: Report) -> Iterator[Markup]:
    shown = plots.widest(report.ranges)
    if not shown:
        return
    figures = [tag("figure", plots.histogram(found), _note(_range_text(found))) for found in shown]
    of_all = f"{len(shown)} of {len(report.ranges)} tensors, most clipped and widest first. " if len(shown) > 1 else ""
    note = (
        f"{of_all}Dashed: the range that int8 covers; red: values outside, which are clipped. Heights are logarithms of"
        " counts. Shares are estimated from the bins."
    )
    yield _section("Activation ranges", _note(note), tag("div", *figures, class_="ranges"))


def _range_text(found: Range) -> str:
    share = clipped_share(found)
    clipped = f"{number(100 * share, 2)} % clipped" if share > _SMALL_SHARE else "nothing clipped"
    seen = f"seen {number(found.low)} to {number(found.high)}"
    return f"{seen}; chosen {number(found.chosen_low)} to {number(found.chosen_high)} ({found.method}): {clipped}"


def _repairs(report: Report) -> Iterator[Markup]:
    if not report.repairs:
        return
    rows = [
        Row(
            [str(index), step.step, loss(step.before), loss(step.after), _kept(kept=step.kept), step.note],
            None if step.kept else "out",
        )
        for index, step in enumerate(report.repairs, 1)
    ]
    headings = ["#", "step", "loss before", "loss after", "outcome", "note"]
    yield _section("Repair steps, in the order tried", table(headings, rows, (0, 2, 3)))


def _kept(*, kept: bool) -> str:
    return "kept" if kept else "not kept"


def _lint(report: Report) -> Iterator[Markup]:
    if report.lint:
        rows = [Row([tag("code", found.code), found.what, found.fix]) for found in report.lint]
        yield _section("Findings in the model", table(["code", "what was found", "what helps"], rows))


def _rewrites(report: Report) -> Iterator[Markup]:
    if not report.rewrites:
        return
    rows = [
        Row([step.name, _kept(kept=step.kept), _span(step.speedup), step.note], None if step.kept else "out")
        for step in report.rewrites
    ]
    yield _section("Rewrites of the graph", table(["rewrite", "outcome", "speed-up alone", "note"], rows, (2,)))


def _operators(report: Report) -> Iterator[Markup]:
    columns = [report.operators.given, report.operators.simplified, report.operators.executed]
    names = sorted({name for column in columns for name in column}, key=lambda name: (-columns[0].get(name, 0), name))
    if not names:
        return
    rows = [Row([name, *(str(column[name]) if name in column else "" for column in columns)]) for name in names]
    totals = ["all", *(str(sum(column.values())) if column else UNKNOWN for column in columns)]
    headings = ["operator", "as given", "simplified", "chosen, as executed here"]
    body = table(headings, [*rows, Row(totals, "chosen")], (1, 2, 3))
    yield _section("Operators", body, _note("As executed: after onnxruntime's own fusions on the machine named above."))


def _environment(report: Report) -> Markup:
    pairs = [*_about_model(report), *_about_options(report)]
    pairs += [(data.role, f"{data.source}, {data.samples} samples, sha256 {data.sha256}") for data in report.data]
    pairs.append(("tools", ", ".join(f"{name} {version}" for name, version in sorted(report.tools.items())) or UNKNOWN))
    listed = [part for key, value in pairs for part in (tag("dt", key), tag("dd", value))]
    labels = [part for key, value in LABELS.items() for part in (tag("dt", key), tag("dd", value))]
    return _section(
        "How it was made",
        tag("dl", *listed),
        _note("What the four labels of a number mean; no number for a device stands without one:"),
        tag("dl", *labels),
    )


def _about_model(report: Report) -> Iterator[tuple[str, str]]:
    model = report.model
    opset = f", opset {model.opset}" if model.opset is not None else ""
    yield "model", f"{model.file}, {size(model.bytes)}{opset}"
    yield "sha256", model.sha256
    yield "target", report.target
    yield "machine", report.machine


def _about_options(report: Report) -> Iterator[tuple[str, str]]:
    options = report.options
    if options is None:
        return
    allowed = f" (a loss of up to {number(options.allowed)})" if options.allowed is not None else ""
    sure = (
        f", held with {100 * options.confidence:g} % confidence" if options.certain else ", held by the measured loss"
    )
    yield "budget", f"{options.budget} of {options.metric}{allowed}{sure}"
    yield "effort", options.effort
    yield "ranges", options.method
    yield "threads", str(options.threads)
