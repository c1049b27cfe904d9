"""A result on the terminal: before and after, what was tried, why the others lost, what to be careful about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from edge_runtime.package.manifest import Accuracy
from optimizer.candidates import Candidate
from optimizer.report.speeds import in_words, seen_in_words
from optimizer.result import Result


def print_result(result: Result, console: Console, written_to: str) -> None:
    """Print the whole account of one optimization.

    Args:
        result: The outcome.
        console: Where to print.
        written_to: Path of the package, as shown to the user.
    """
    label, first = result.manifest.label, result.manifest.target.split(", ")[0]
    console.print(_table(f"{label} for {first}", result.candidates, result.chosen))
    for other in result.others:
        console.print(_table(f"{label} for {other.target.name}", other.candidates, other.chosen))
    for line in _lines(result, written_to):
        style = "yellow" if line.startswith("warning") else None
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


_RATIOS = {
    "time": "x float32",
    "instructions": "fewer instructions than float32, x (predicted)",
    "formulas": "x float32 by formulas (predicted)",
}


def _table(title: str, candidates: Sequence[Candidate], chosen: Candidate) -> Table:
    table = Table(title=title, title_justify="left")
    judged, quantity = candidates[0].accuracy, candidates[0].quantity
    times = ("ms, batch 1",) if quantity == "time" else ()
    for heading in ("form", "size", *times, _RATIOS[quantity], judged.metric if judged else "accuracy", ""):
        table.add_column(heading, justify="left" if heading in {"form", ""} else "right", overflow="fold")
    for candidate in candidates:
        milliseconds = f"{candidate.milliseconds.value:.3f}" if candidate.milliseconds else "-"
        table.add_row(
            candidate.name,
            _kilobytes(len(candidate.data)) if candidate.data else "-",
            *((milliseconds,) if times else ()),
            f"{candidate.speedup.value:.2f}" if candidate.speedup else "-",
            f"{candidate.accuracy.value:.4f}" if candidate.accuracy else "unverified",
            "chosen" if candidate is chosen else "",
            style="bold" if candidate is chosen else None,
        )
    return table


def _lines(result: Result, written_to: str) -> Iterator[str]:
    chosen, variant = result.chosen, result.variant
    yield f"chosen   {chosen.name} ({chosen.precision}): {result.manifest.chosen_because}"
    for lost in result.manifest.rejected:
        yield f"not      {lost.name}: {lost.reason}"
    before, after = result.original_bytes, len(chosen.data)
    yield f"size     {_kilobytes(before)} before, {_kilobytes(after)} after ({after / before:.2f} x)"
    if variant.latency is not None:
        yield f"speed    {in_words(variant.latency, is_reference=chosen is result.candidates[0])}"
    if variant.accuracy is not None:
        yield _accuracy(variant.accuracy)
    for one in result.manifest.variants:
        yield from (f"seen     {one.name} {seen_in_words(seen)}" for seen in one.evidence)
    if len(result.manifest.variants) > 1:
        yield f"holds    {', '.join(one.name for one in result.manifest.variants)}, tried in this order"
    yield f"runs as  {result.executed}"
    for fallen in result.executed.fell_back:
        yield f"warning  {fallen.layer} is quantized and runs in float: {fallen.reason}"
    yield from (f"warning  {caveat}" for caveat in (*result.warnings, *result.cached.warnings))
    if result.cached.hits:
        yield f"cache    {result.cached}"
    yield f"wrote    {written_to}"


def _accuracy(found: Accuracy) -> str:
    interval = f"{found.confidence:.0%} interval {found.low:.4f} to {found.high:.4f}"
    loss = f"loss {found.loss:.4f} ({found.loss_low:.4f} to {found.loss_high:.4f})"
    compared = f"float32 {found.reference:.4f}; {loss}; {found.samples} samples"
    return f"{found.metric:<8} {found.value:.4f} ({interval}); {compared}"


def _kilobytes(size: int) -> str:
    return f"{size / 1000:.1f} kB"
