"""`edge-runtime status`: what the running daemon says of itself."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_runtime.errors import EnvironmentFault

if TYPE_CHECKING:
    from edge_runtime.monitoring.health import DaemonHealth

_EVERY_SECONDS = 2.0
_NOT_WELL = 4  # "the demanded result was not reached"
_CLEAR = "\033[H\033[2J"


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the health message itself, one JSON object.")
@click.option("--watch", is_flag=True, help="Show it again every two seconds until Ctrl-C.")
@click.option("--quiet", is_flag=True, help="Print nothing: the exit status is the answer.")
def status(config: Path, as_json: bool, watch: bool, quiet: bool) -> None:
    """Show how the daemon that serves CONFIG on this machine is doing.

    Exit status: 0 where all is well, 4 where the state is degraded or failing, 5 where no daemon runs.
    """
    while True:
        answer, health = _ask(config)
        if as_json and not quiet:
            click.echo(answer)
        elif not quiet:
            from edge_runtime.monitoring.status_page import page

            click.echo((_CLEAR if watch else "") + page(health), nl=False)
        if not watch:
            sys.exit(0 if health.state == "ok" else _NOT_WELL)
        try:
            time.sleep(_EVERY_SECONDS)
        except KeyboardInterrupt:
            return


def _ask(config: Path) -> tuple[bytes, DaemonHealth]:
    """Return the daemon's answer, as written and as read.

    Raises:
        EnvironmentFault: E-DAEMON-NOT-RUNNING, E-DAEMON-SILENT, E-DAEMON-VERSION or E-FILE-READ.
    """
    import msgspec

    from edge_runtime.config import load_config
    from edge_runtime.monitoring.health import DaemonHealth
    from edge_runtime.monitoring.status_socket import ask
    from edge_runtime.state_folder import socket_file

    folder = config.parent / load_config(config).state.folder
    answer = ask(socket_file(folder, config.stem))
    if answer is None:
        raise _not_running(config, folder)
    try:
        return answer, msgspec.json.decode(answer, type=DaemonHealth)
    except msgspec.MsgspecError as error:
        fix = "restart the daemon, so that it runs the version that is installed"
        raise EnvironmentFault("E-DAEMON-VERSION", f"the daemon speaks another version's language: {error}", fix) from (
            error
        )


def _not_running(config: Path, folder: Path) -> EnvironmentFault:
    from edge_runtime.messaging.json_payload import rfc3339
    from edge_runtime.monitoring.status_page import last_words
    from edge_runtime.state_folder import read_record, record_file

    record = read_record(record_file(folder, config.stem))
    words = last_words(record.last_words) if record.last_words else "no earlier run has left a word"
    if record.unclean:
        words += f"; the run that began {rfc3339(record.unclean[-1])} ended without saying so: killed, or power lost"
    fix = f"edge-runtime run {config}, or, where it is installed as a service, `systemctl status` with the unit's name"
    return EnvironmentFault("E-DAEMON-NOT-RUNNING", f"no daemon serves {config} here; {words}", fix)
