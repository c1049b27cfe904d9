"""`edgeopt demo`: all of it in under a minute, on this computer alone."""

from __future__ import annotations

import signal
from pathlib import Path

import click


@click.command()
@click.option("--keep-running", is_flag=True, help="Go on after the alarm until Ctrl-C.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Another seed, other machines.")
@click.option("--export", type=click.Path(path_type=Path), help="Only write model, data and configuration there.")
def demo(keep_running: bool, seed: int, export: Path | None) -> None:
    """Show it all: a sensor, a model made small, the daemon, a fault, the alarm.

    Everything is real but the machine: the optimizer measures here, the daemon is a process of its own, and messages
    go through an MQTT broker that lives as long as the demo. It ends by itself in under a minute, leaves nothing
    behind, and its exit status is 0 only if the alarm came after the fault and not before.
    """
    if export is not None:
        from optimizer.demo.export import export as export_files

        for path in export_files(export):
            click.echo(f"wrote {path}")
        return

    from rich.console import Console

    from optimizer.cli.progress import shown_progress
    from optimizer.demo.scenario import optimize_model, serve_and_break
    from optimizer.report.demo import Story

    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.default_int_handler)  # so that these, too, clean up
    story = Story(Console())
    with shown_progress(Console(stderr=True)) as progress:
        result = optimize_model(story, progress)
    serve_and_break(story, result, seed, keep_running=keep_running)
