"""`edge-runtime replay`: a table played into a broker as sensors would."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_runtime.errors import EnvironmentFault

if TYPE_CHECKING:
    from edge_runtime.messaging.broker import Broker


@dataclass(frozen=True)
class Options:
    """The command line, as given."""

    file: Path
    topic: str
    rate: float
    broker: str
    columns: str
    qos: int
    limit: int | None
    username: str | None
    password_file: Path | None


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--topic", required=True, help="Where each row goes; {column} is filled from it: 'plant/{unit}/telemetry'."
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Rows per second, all topics together; 0 plays as fast as the broker acknowledges.",
)
@click.option("--broker", default="mqtt://127.0.0.1:1883", show_default=True, metavar="URL", help="mqtt://HOST:PORT")
@click.option("--columns", default="", metavar="a,b,c", help="Column names of a table without a header line.")
@click.option("--qos", type=click.IntRange(0, 1), default=1, show_default=True, help="MQTT quality of service.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after this many rows.")
@click.option("--username", help="For a broker that asks for one.")
@click.option("--password-file", type=click.Path(path_type=Path), help="File whose first line is the password.")
def replay(**given: Any) -> None:
    """Play FILE into a broker, one JSON object per row.

    FILE is a CSV file with a header line, or a text table whose cells are divided by white space. Cells that are
    numbers become numbers, empty ones null, others text. It is read row by row, so its size does not matter.
    """
    from edge_runtime.messaging.connection import Connection, Session
    from edge_runtime.sources.playback import Pace, Player, TopicTemplate, messages
    from edge_runtime.sources.table import Table

    options = Options(**given)
    table = Table(options.file, [name.strip() for name in options.columns.split(",") if options.columns])
    items = messages(islice(table, options.limit), TopicTemplate(options.topic, table.columns))
    broker = _broker(options)
    connection = Connection(broker, Session(client_id=f"edge-runtime-replay-{uuid.uuid4().hex[:8]}"))
    connection.start()
    pace = f"{options.rate:g} rows/s" if options.rate else "full speed"
    click.echo(f"playing {options.file} into {broker} at {pace}; Ctrl-C stops")
    player = Player(connection, Pace(options.rate), options.qos)
    try:
        played = player.play(items)
    except KeyboardInterrupt:
        click.echo(f"stopped after {player.sent} messages, {connection.unacknowledged()} of them unacknowledged")
        raise
    finally:
        connection.stop()
    state = "all acknowledged" if options.qos else "unacknowledged, as QoS 0 is"
    click.echo(f"sent {played.messages} messages in {played.seconds:.1f} s, {played.rate:.1f}/s, {state}")


def _broker(options: Options) -> Broker:
    from edge_runtime.messaging.broker import Broker

    password = _first_line(options.password_file) if options.password_file else None
    return Broker.parse(options.broker, options.username, password)


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").split("\n", 1)[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentFault(
            "E-REPLAY-PASSWORD-FILE",
            f"cannot read a password from {path}: {error}",
            "store the password as the first line of a UTF-8 text file that this user may read",
        ) from error
