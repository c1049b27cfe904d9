"""`edge-runtime check`: every problem of a configuration before the daemon meets it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_runtime.errors import EdgeoptError

if TYPE_CHECKING:
    from edge_runtime.config_options import Config, PipelineConfig


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--offline", is_flag=True, help="Do not try the broker.")
def check(config: Path, offline: bool) -> None:
    """Name every problem of CONFIG: its lines, its packages on this machine, and the broker.

    Exit status: 0 where all is well, else that of the worst problem (3 input, 5 environment, 6 refused).
    """
    from edge_runtime.config import load_config

    loaded = load_config(config)
    click.echo(f"ok    {config}: {len(loaded.pipeline)} pipeline{'s' * (len(loaded.pipeline) > 1)}")
    state = loaded.state.folder
    results = [
        _step(f"pipeline {pipeline.name}", partial(_pipeline, pipeline, config, state)) for pipeline in loaded.pipeline
    ]
    if not offline:
        results.append(_step("broker", partial(_broker, loaded, config)))
    sys.exit(max(results, default=0))


def _step(name: str, attempt: Callable[[], str]) -> int:
    """Try one thing and print how it went; return its exit status."""
    try:
        click.echo(f"ok    {name}: {attempt()}")
    except EdgeoptError as error:
        click.echo(f"error {name}: {error}")
        return error.exit_status
    return 0


def _pipeline(config: PipelineConfig, path: Path, state: str) -> str:
    from edge_runtime.assemble import assemble

    served = assemble(config, path.parent, {}, path.parent / state).served
    lines = [f"{served.manifest.label}, {served.variant.name}, {served.golden.samples} golden samples met"]
    lines += [f"      chosen: {served.reason}", f"      runs in {served.variant.engine} on {served.provider}"]
    lines += [f"      not {skipped}" for skipped in served.skipped]
    lines += [f"      falls back: {served.fallback}"] if served.fallback else []
    return "\n".join(lines)


def _broker(config: Config, path: Path) -> str:
    from edge_runtime.broker_settings import broker_of, client_id
    from edge_runtime.messaging.connection import Connection, Session

    broker = broker_of(config, path.parent)
    # Its own client id: with the daemon's, the check would throw a running daemon out.
    connection = Connection(broker, Session(f"{client_id(config)}-check"))
    connection.start()
    connection.stop()
    return f"{broker} lets this client in"
