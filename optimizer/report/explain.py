"""A report as lines of text: what was chosen and why, why the others lost, and everything about one layer."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from edge_runtime.errors import BadInput
from optimizer.report.markup import UNKNOWN, loss, number, size
from optimizer.report.record import Form, Layer, Report
from optimizer.report.speeds import direction, seen_in_words

_WIDTH = 10


def summary(report: Report, package: str) -> Iterator[str]:
    """Yield the whole account in lines; `package` is the path shown in the commands to type next."""
    yield _line("model", f"{report.label_of_model} ({report.model.file}) for {report.target}")
    chosen = report.chosen
    if chosen is not None:
        yield _line("chosen", f"{chosen.name} ({chosen.precision}): {report.chosen_because}")
        yield from _figures(report, chosen)
    for one in report.seen:
        yield _line("seen", f"{one.variant} {seen_in_words(one.evidence)}")
    for form in report.forms:
        if not form.chosen:
            yield _line("not", f"{form.name}: {outcome(report, form)}{_numbers(form)}")
    for step in report.repairs:
        kept = "kept" if step.kept else "not kept"
        note = f", {step.note}" if step.note else ""
        yield _line("repair", f"{step.step}: loss {loss(step.before)} before, {loss(step.after)} after, {kept}{note}")
    for found in report.lint:
        yield _line("finding", f"{found.code}: {found.what}; {found.fix}")
    for warning in report.warnings:
        yield _line("warning", warning)
    if report.layers:
        yield ""
        yield from columns([_HEADINGS, *map(_row, report.layers)])
        yield ""
        yield _line("next", f"edgeopt explain {package} --layer NAME for one layer, --html report.html for the page")


def about_layer(report: Report, name: str) -> Iterator[str]:
    """Yield everything known of one layer.

    Raises:
        BadInput: E-LAYER-UNKNOWN, with the names that come near.
    """
    layer = find_layer(report, name)
    yield _line("layer", f"{layer.name}, {layer.operator}")
    yield _line("precision", f"{layer.precision}: {layer.reason}")
    yield _line("loss", _known(layer.loss, "{} of the outputs' variance, with this layer alone in int8"))
    yield _line("gain", _known(layer.milliseconds, "{} ms in int8 against float32, measured"))
    yield _line("outliers", _known(layer.outlier_ratio, "the largest input is {} times a typical one"))
    seen = f"{number(layer.low)} to {number(layer.high)} in calibration" if layer.low is not None else "not recorded"
    yield _line("input", seen)
    for warning in report.warnings:
        if name in warning:
            yield _line("warning", warning)
    for found in report.lint:
        if name in found.what:
            yield _line("finding", f"{found.code}: {found.what}; {found.fix}")


def find_layer(report: Report, name: str) -> Layer:
    """Return a layer by its name.

    Raises:
        BadInput: E-LAYER-UNKNOWN.
    """
    for layer in report.layers:
        if layer.name == name:
            return layer
    names = [layer.name for layer in report.layers]
    inside = [known for known in names if name and name.lower() in known.lower()]
    near = inside[:3] or difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        fix = f"did you mean {' or '.join(near)}?"
    elif names:
        fix = f"use one of: {', '.join(names[:10])}{', …' if len(names) > 10 else ''}"
    else:
        fix = "leave out --layer: this report names no layers"
    raise BadInput("E-LAYER-UNKNOWN", f"{report.label_of_model} has no layer {name}", fix)


def outcome(report: Report, form: Form) -> str:
    """Return in words what became of a form."""
    if form.chosen:
        return "chosen"
    if form.rejected:
        return form.rejected
    return "the model as given, the reference" if form is report.forms[0] else "inside the budget, not the best"


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows, the first of them headings, as aligned lines; columns of which nothing is known are left out."""
    shown = [i for i in range(len(rows[0])) if len(rows) < 2 or any(row[i] != UNKNOWN for row in rows[1:])]
    rows = [[row[i] for i in shown] for row in rows]
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]]).rstrip()


def printable(line: str) -> str:
    """Return a line without control characters: a name inside a package must not steer the reader's terminal."""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in line)


_HEADINGS = ("layer", "operator", "precision", "loss alone", "predicted gain, ms", "why")


def _row(layer: Layer) -> tuple[str, ...]:
    numbers = (number(layer.loss), number(layer.milliseconds))
    return (layer.name or "(without name)", layer.operator, layer.precision, *numbers, layer.reason)


def _figures(report: Report, chosen: Form) -> Iterator[str]:
    before, after = report.model.bytes, chosen.bytes
    if before and after:
        yield _line("size", f"{size(before)} before, {size(after)} after ({after / before:.2f} x)")
    faster = chosen.speedup
    if chosen.quantity != "time" and faster is not None and faster.value is not None:
        yield _line("speed", f"{direction(chosen.quantity, faster.value)}, {chosen.label} for {report.machine}")
    elif chosen.milliseconds is not None:
        ratio = ""
        if faster is not None and chosen is not report.forms[0]:
            ratio = f"{number(faster.value)} x as given ({number(faster.low)} to {number(faster.high)}), "
        threads = f", {report.options.threads} intra-op threads" if report.options else ""
        time = f"{number(chosen.milliseconds.value)} ms at batch 1{threads}"
        yield _line("speed", f"{ratio}{time}, {report.label} on {report.machine}")
    found = chosen.accuracy
    if found is None:
        yield _line("accuracy", "unverified: there were no data to check it with")
        return
    budget = f"; budget {report.options.budget}" if report.options else ""
    yield _line(
        found.metric,
        f"{number(found.value, 4)}, float32 {number(found.reference, 4)}, loss {loss(found.loss)} "
        f"({loss(found.loss_low)} to {loss(found.loss_high)}), {found.samples} samples{budget}",
    )


def _numbers(form: Form) -> str:
    parts = []
    if form.accuracy is not None:
        parts.append(f"{form.accuracy.metric} {number(form.accuracy.value, 4)}")
    if form.milliseconds is not None:
        parts.append(f"{number(form.milliseconds.value)} ms")
    return f" ({', '.join(parts)})" if parts else ""


def _known(value: float | None, text: str) -> str:
    return "not measured" if number(value) == UNKNOWN else text.format(number(value))


def _line(label: str, text: str) -> str:
    return f"{label:<{_WIDTH}}{text}" if len(label) < _WIDTH else f"{label} {text}"
