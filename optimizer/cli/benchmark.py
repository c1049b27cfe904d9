"""`edgeopt benchmark`: models and packages timed against each other, interleaved."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from optimizer.cli import parse

if TYPE_CHECKING:
    from benchmarks.latency import Interval
    from optimizer.measure import Measurement


@dataclass(frozen=True)
class Options:
    """The command line's options, as given."""

    threads: int
    rounds: int
    batch: int
    shapes: tuple[str, ...]
    target: str | None
    as_json: bool


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="A [B]...")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Intra-op threads of each model.")
@click.option("--rounds", type=click.IntRange(6), default=15, show_default=True, help="Timed slots of each model.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Samples per call.")
@click.option(
    "--shape", "shapes", multiple=True, metavar="NAME=1,3,224,224", help="Full shape of an input; repeatable."
)
@click.option(
    "--target", metavar="TARGET", help="Measure there: ssh://USER@HOST or local. [default: here, in this process]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
def benchmark(files: tuple[Path, ...], **given: Any) -> None:
    """Time models (.onnx) and packages (.edgepkg) against the first one, interleaved, on this machine or another.

    Inputs are seeded noise: good for time, worthless for accuracy. A difference counts as shown where the 95 % interval
    of the speed-up excludes 1 and the difference is larger than two copies of one model can have.
    """
    from rich.console import Console

    from benchmarks.latency import Plan
    from edge_runtime.inference.ort import SessionSettings
    from optimizer.cli.progress import shown_progress
    from optimizer.measure import load_subjects, measure, measure_at
    from optimizer.places import find

    options = Options(**given)
    threads, batch, plan = options.threads, options.batch, Plan(rounds=options.rounds)
    there = find(options.target) if options.target else None
    subjects = load_subjects(files, SessionSettings(threads), parse.shapes(options.shapes), batch)
    with shown_progress(Console(stderr=True)) as progress:
        show = partial(progress, "timing, interleaved")
        found = measure_at(there.place, subjects, plan, show) if there else measure(subjects, plan, threads, show)
    if options.as_json:
        click.echo(json.dumps({**found.as_json(), "threads": threads, "batch": batch}, indent=1))
        return
    _print_table(found)
    where = f"measured at {there.place.name}" if there else "measured"
    click.echo(f"{where}: medians [95 % intervals] of {plan.rounds} rounds, {threads} intra-op threads, batch {batch}")
    click.echo(_machine(found))
    for note in (*found.notes(), *(there.notes if there else ())):
        click.echo(note)


def _print_table(found: Measurement) -> None:
    from rich.console import Console
    from rich.table import Table

    from benchmarks.latency import verdict

    table = Table(box=None, pad_edge=False)
    table.add_column("model", overflow="fold")
    for heading in ("size", "ms per call", "speed-up"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    rows = zip(found.subjects, found.comparison.timings, found.comparison.speedups, strict=True)
    for index, (subject, timing, speedup) in enumerate(rows):
        judged = verdict(speedup) if index else "reference"
        table.add_row(subject.name, _kilobytes(subject.size), _interval(timing), _interval(speedup), judged)
    Console(markup=False).print(table)


def _kilobytes(size: int) -> str:
    return f"{size / 1000:.1f} kB"


def _interval(interval: Interval) -> str:
    return f"{interval.value:.3g} [{interval.low:.3g}, {interval.high:.3g}]"


def _machine(found: Measurement) -> str:
    machine = found.environment
    facts = [str(machine.host), f"onnxruntime {machine.onnxruntime}"]
    if machine.before.load_average is not None:
        facts.append(f"load average {machine.before.load_average:.2f} at the start")
    if machine.after.temperature_celsius is not None:
        facts.append(f"{machine.after.temperature_celsius:.0f} °C at the end")
    return "; ".join(facts)
