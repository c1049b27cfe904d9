"""A result on the terminal: before and after, what was tried, why the others lost, what to be careful about."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from edge_runtime.package.manifest import Accuracy, Latency
from optimizer.result import Result


def print_result(result: Result, console: Console, written_to: str) -> None:
    """Print the whole account of one optimization.

    Args:
        result: The outcome.
        console: Where to print.
        written_to: Path of the package, as shown to the user.
    """
    console.print(_table(result))
    for line in _lines(result, written_to):
        style = "yellow" if line.startswith("warning") else None
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def _table(result: Result) -> Table:
    table = Table(title=f"{result.manifest.label} for {result.manifest.target}", title_justify="left")
    judged = result.candidates[0].accuracy
    for heading in ("form", "size", "ms, batch 1", "x float32", judged.metric if judged else "accuracy", ""):
        table.add_column(heading, justify="left" if heading in {"form", ""} else "right", overflow="fold")
    for candidate in result.candidates:
        table.add_row(
            candidate.name,
            _kilobytes(len(candidate.data)) if candidate.data else "-",
            f"{candidate.milliseconds.value:.3f}" if candidate.milliseconds else "-",
            f"{candidate.speedup.value:.2f}" if candidate.speedup else "-",
            f"{candidate.accuracy.value:.4f}" if candidate.accuracy else "unverified",
            "chosen" if candidate is result.chosen else "",
            style="bold" if candidate is result.chosen else None,
        )
    return table


def _lines(result: Result, written_to: str) -> Iterator[str]:
    chosen, variant = result.chosen, result.manifest.variants[0]
    yield f"chosen   {chosen.name} ({chosen.precision}): {result.manifest.chosen_because}"
    for lost in result.candidates:
        if lost.rejected:
            yield f"not      {lost.name}: {lost.rejected}"
    before, after = result.original_bytes, len(chosen.data)
    yield f"size     {_kilobytes(before)} before, {_kilobytes(after)} after ({after / before:.2f} x)"
    if variant.latency is not None:
        yield f"speed    {_speed(variant.latency, is_reference=chosen is result.candidates[0])}"
    if variant.accuracy is not None:
        yield _accuracy(variant.accuracy)
    yield f"runs as  {result.executed}"
    for fallen in result.executed.fell_back:
        yield f"warning  {fallen.layer} is quantized and runs in float: {fallen.reason}"
    yield from (f"warning  {caveat}" for caveat in (*result.warnings, *result.cached.warnings))
    if result.cached.hits:
        yield f"cache    {result.cached}"
    yield f"wrote    {written_to}"


def _speed(found: Latency, *, is_reference: bool) -> str:
    threads = f"{found.threads} thread{'s' if found.threads > 1 else ''}"
    ratio = (
        "" if is_reference else f"{found.speedup:.2f} x float32 (95 % interval {found.low:.2f} to {found.high:.2f}), "
    )
    return f"{ratio}{found.milliseconds:.3f} ms, batch 1, {threads}, {found.label} on {found.machine}"


def _accuracy(found: Accuracy) -> str:
    interval = f"{found.confidence:.0%} interval {found.low:.4f} to {found.high:.4f}"
    loss = f"loss {found.loss:.4f} ({found.loss_low:.4f} to {found.loss_high:.4f})"
    compared = f"float32 {found.reference:.4f}; {loss}; {found.samples} samples"
    return f"{found.metric:<8} {found.value:.4f} ({interval}); {compared}"


def _kilobytes(size: int) -> str:
    return f"{size / 1000:.1f} kB"
