"""`edgeopt compare`: how two models or packages differ."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("first", type=click.Path(path_type=Path), metavar="A")
@click.argument("second", type=click.Path(path_type=Path), metavar="B")
@click.option(
    "--shape", "shapes", multiple=True, metavar="NAME=1,3,224,224", help="Full shape of an open input; repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the text.")
def compare(first: Path, second: Path, shapes: tuple[str, ...], as_json: bool) -> None:
    """Show how two models (.onnx) or packages (.edgepkg) differ: inputs, outputs, size, operators, what was recorded.

    Both run on the same inputs, the golden samples of a package that holds real ones, else seeded noise, and their
    answers are compared: largest difference, signal over difference in dB, share of samples with the same largest
    score. Accuracy and latency are those recorded in packages; `edgeopt benchmark A B` measures both together.
    """
    from optimizer.cli import parse
    from optimizer.compare import compare_files
    from optimizer.report.comparison import as_json as plain
    from optimizer.report.comparison import lines
    from optimizer.report.explain import printable

    found = compare_files(first, second, parse.shapes(shapes))
    if as_json:
        click.echo(json.dumps(plain(found), indent=1))
        return
    for line in lines(found):
        click.echo(printable(line))
