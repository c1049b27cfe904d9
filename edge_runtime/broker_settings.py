"""From the configuration to who this daemon is at the broker, and where that is."""

from __future__ import annotations

from pathlib import Path

from edge_runtime.config_options import Config
from edge_runtime.credentials import secret_file
from edge_runtime.errors import BadInput
from edge_runtime.messaging.broker import Broker
from edge_runtime.option_types import seconds


def client_id(config: Config) -> str:
    """Return the configured client id, or one made of site and node."""
    return config.broker.client_id or f"edge-runtime-{config.node.site}-{config.node.name}"


def broker_of(config: Config, folder: Path) -> Broker:
    """Return where the broker is; the password is read from its file, relative to the configuration.

    Raises:
        BadInput: E-BROKER-URL or E-CONFIG-PASSWORD-FILE.
    """
    broker, password = config.broker, None
    if broker.password_file is not None:
        try:
            password = secret_file(folder / broker.password_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            fix = "write the password alone into that file, readable by the daemon's user only (chmod 600)"
            raise BadInput("E-CONFIG-PASSWORD-FILE", f"cannot read {broker.password_file}: {error}", fix) from error
    return Broker.parse(broker.url, broker.username, password, round(seconds(broker.keepalive)))
