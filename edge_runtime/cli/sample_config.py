"""`edge-runtime sample-config`: a configuration to start from."""

from __future__ import annotations

from importlib import resources

import click


@click.command("sample-config")
def sample_config() -> None:
    """Print a configuration with every option, its default and what it means.

    Start from it: edge-runtime sample-config > edge-runtime.toml
    """
    click.echo(resources.files("edge_runtime").joinpath("sample.toml").read_text(encoding="utf-8"), nl=False)
