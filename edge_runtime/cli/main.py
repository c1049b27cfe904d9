"""Entry point of `edge-runtime`."""

from __future__ import annotations

from edge_runtime.cli.group import LazyGroup

main = LazyGroup(
    "edge-runtime",
    "Serve an .edgepkg model next to the sensors: MQTT readings in, predictions and health out.",
    {
        "run": ("edge_runtime.cli.run:run", "Serve the pipelines of a configuration until SIGTERM."),
        "status": ("edge_runtime.cli.status:status", "Show how the running daemon is doing."),
        "service": ("edge_runtime.cli.service:service", "Install the daemon as a hardened systemd service."),
        "check": ("edge_runtime.cli.check:check", "Name every problem of a configuration, with its line and the fix."),
        "sample-config": ("edge_runtime.cli.sample_config:sample_config", "Print a configuration to start from."),
        "replay": ("edge_runtime.cli.replay:replay", "Play a table into a broker as sensors would."),
    },
)
