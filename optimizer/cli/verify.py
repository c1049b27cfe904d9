"""`edgeopt verify`: a package re-run on the machine it is for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edge_runtime.package.archive import Package
    from optimizer.verify import Check, Evaluation, Verification


@dataclass(frozen=True)
class Options:
    """The command line, as given."""

    path: Path
    target: str
    evaluation: str | None
    samples: int | None
    metric: str | None
    score_output: str | None
    tolerance: float
    as_json: bool


@click.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="PACKAGE")
@click.option(
    "--target",
    default="local",
    show_default=True,
    metavar="TARGET",
    help="Where: local, ssh://USER@HOST, emulated:PROFILE, or a profile such as raspberry-pi-4.",
)
@click.option("--evaluation", metavar="DATA", help="Labelled samples: the metric is computed there and here as well.")
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    metavar="N",
    help="The first N of them alone: emulation takes some 50 times as long as this machine. [default: all]",
)
@click.option("--metric", help="As for quantize. [default: the one the package was built with]")
@click.option("--score-output", metavar="NAME", help="Output the metric looks at. [default: the first float output]")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0.0),
    default=0.1,
    show_default=True,
    help="How far the metric there may lie from the host's and the recorded one, in points.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
def verify(**given: Any) -> None:
    """Run the variants of PACKAGE at a machine: golden samples, the host's answers, the metric.

    Boards that are not at hand are emulated: the real aarch64 onnxruntime computes, so answers count and times do not.
    Where answers differ from this host's, the first layers that differ are named. Exit status 6 where a variant fails
    its golden samples, does not run, or its metric is off.
    """
    from rich.console import Console

    from edge_runtime.package import archive
    from optimizer.cli.progress import shown_progress
    from optimizer.places import find
    from optimizer.verify import verify as run

    options = Options(**given)
    found = find(options.target, lambda line: click.echo(line, err=True))
    package = archive.read(options.path)
    samples = _evaluation(package, options) if options.evaluation else None
    with shown_progress(Console(stderr=True)) as progress:
        result = run(package, found.place, samples, progress, found.notes)
    if options.as_json:
        click.echo(json.dumps(result.as_json(), indent=1))
    else:
        _print(result)
    if fault := result.fault():
        raise fault


def _evaluation(package: Package, options: Options) -> Evaluation:
    from optimizer.data import load_dataset
    from optimizer.verify import Evaluation
    from optimizer.verify_metric import Asked

    manifest = package.manifest
    data = load_dataset(options.evaluation or "", manifest.inputs, manifest.preprocess, features=manifest.computed)
    if options.samples:
        data = data.first(options.samples)
    return Evaluation(data, Asked(options.metric, options.score_output, options.tolerance))


def _print(found: Verification) -> None:
    from optimizer.report.explain import printable

    click.echo(printable(f"{found.package} at {found.place}, {found.label}: {found.machine}"))
    if str(found.machine) != str(found.host):
        click.echo(printable(f"compared with this host: {found.host}"))
    _print_table(found)
    for check in found.checks:
        for sentence in check.explanation.sentences() if check.explanation else ():
            click.echo(printable(f"{check.variant}: {sentence}"))
    for name, why in found.skipped.items():
        click.echo(printable(f"{name}: not for this machine, {why}"))
    for note in found.notes:
        click.echo(printable(note))


def _print_table(found: Verification) -> None:
    from rich.console import Console
    from rich.table import Table

    metric = next((check.scores.metric for check in found.checks if check.scores), None)
    table = Table(box=None, pad_edge=False)
    headings = ["variant", "golden, of tolerance", "against host", "engine"]
    if metric:
        headings[3:3] = [f"{metric}, {found.label}", "host", "recorded"]
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading == "engine")
    for check in found.checks:
        table.add_row(check.variant, *_cells(check, with_metric=metric is not None))
    Console(markup=False).print(table)


def _cells(check: Check, *, with_metric: bool) -> list[str]:
    if check.failed or check.evidence is None:
        return ["does not run", *([""] * (5 if with_metric else 2))]
    golden = "fail" if check.golden is None else f"ok, {check.golden:.1%}"
    against = "equal" if check.evidence.exact else f"{check.evidence.agreement_db or 0:.1f} dB"
    cells = [golden, "is the host" if check.evidence.place == "local" else against]
    if with_metric:
        scores = check.scores
        values = (scores.there, scores.here, scores.recorded) if scores else (None, None, None)
        cells += ["" if value is None else f"{value:.5g}" for value in values]
    return [*cells, check.evidence.engine]
