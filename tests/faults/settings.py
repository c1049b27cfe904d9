"""The daemon's configuration for a rig."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faults.rig import Setup


def configuration(setup: Setup, url: str, state: Path) -> str:
    """Return the TOML of a daemon with the tiny package whose results are the readings' numbers."""
    return f"""
schema = 1

[node]
name = "gateway"
site = "plant"

[broker]
url = "{url}"
keepalive = "{setup.keepalive}"
reconnect_max = "3s"
startup = "retry"

[health]
interval = "500ms"

[state]
folder = "{state}"

[[pipeline]]
name = "sum"
package = "sum.edgepkg"

[pipeline.source]
topic = "sensors/{{stream}}/reading"
fields = ["a", "b"]

[pipeline.decision]
kind = "value"
{_delivery(setup)}"""


def _delivery(setup: Setup) -> str:
    bound = f'\n[outbox]\nbound = "{setup.disk_bound}"\n' if setup.disk_bound else ""
    when_full = f'when_full = "{setup.when_full}"\n' if setup.when_full else ""
    resend = 'resend_after = "2s"\n' if setup.delivery == "end_to_end" else ""
    return f'\n[pipeline.delivery]\nmode = "{setup.delivery}"\n{when_full}{resend}{bound}'
