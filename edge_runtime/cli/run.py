"""`edge-runtime run`: serve a configuration."""

from __future__ import annotations

import logging
import signal
from pathlib import Path

import click


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
def run(config: Path) -> None:
    """Serve the pipelines of CONFIG until SIGTERM or Ctrl-C.

    Golden samples are run first; a model that does not reproduce them is not served (exit status 6). One daemon at a
    time works in a state folder; a second one ends with exit status 5.
    """
    from edge_runtime.config import load_config
    from edge_runtime.daemon import Daemon
    from edge_runtime.state_folder import StateFolder

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    loaded = load_config(config)
    with StateFolder(config.parent / loaded.state.folder, config.stem) as state:
        daemon = Daemon(config, loaded, state)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _signal, _frame: daemon.stop())
        daemon.run()
