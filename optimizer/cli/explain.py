"""`edgeopt explain`: why a package is as it is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click


@click.command()
@click.argument("package", type=click.Path(path_type=Path), metavar="PKG")
@click.option("--layer", metavar="NAME", help="Everything known of one layer.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write the report as one HTML page.")
@click.option("--json", "as_json", is_flag=True, help="Print the report, or the layer, as one JSON object.")
def explain(package: Path, layer: str | None, html: Path | None, as_json: bool) -> None:
    """Tell what was chosen for a package and why, why the others lost, and what became of each layer.

    It reads the report that was made with the package and measures nothing. The page needs no network and no other
    file, and prints well.
    """
    import msgspec

    from edge_runtime.files import write_atomically
    from edge_runtime.package import archive
    from optimizer.report import explain as text
    from optimizer.report.html import page
    from optimizer.report.record import encode, of_package

    report = of_package(package, archive.read(package))
    found = text.find_layer(report, layer) if layer is not None else None
    if html is not None:
        write_atomically(html, page(report).encode())
        click.echo(f"wrote     {html}", err=as_json)
    if as_json:
        data = encode(report) if found is None else msgspec.json.encode(found)
        click.echo(msgspec.json.format(data.strip(), indent=1).decode())
    elif layer is not None:
        _print(text.about_layer(report, layer))
    elif html is None:
        _print(text.summary(report, str(package)))


def _print(lines: Iterable[str]) -> None:
    from optimizer.report.explain import printable

    for line in lines:
        click.echo(printable(line))
