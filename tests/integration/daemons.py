"""The daemon as its own process, and the configurations it is given."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import sum_package
from brokers import HOST, PATIENCE

COMMAND = [sys.executable, "-m", "edge_runtime"]


def pipeline(
    name: str = "sum",
    topic: str = "sensors/{stream}/reading",
    source: str = 'fields = ["a", "b"]',
    window: str = "",
    queue: str = "",
    model: str = "",
) -> str:
    """Return the TOML of one pipeline on the tiny package; each argument but the first two is a table's lines."""
    return f"""
[[pipeline]]
name = "{name}"
package = "sum.edgepkg"

[pipeline.source]
topic = "{topic}"
{source}

[pipeline.window]
{window}

[pipeline.queue]
{queue}

[pipeline.model]
{model}

[pipeline.decision]
kind = "value"
"""


def configuration(url: str, pipelines: Sequence[str], broker: str = "") -> str:
    """Return the TOML of a whole configuration; `broker` holds more lines of that table."""
    return f"""
schema = 1

[node]
name = "gateway"
site = "plant"

[broker]
url = "{url}"
reconnect_max = "3s"
{broker}

[health]
interval = "200ms"
{"".join(pipelines)}"""


class Daemon:
    """`edge-runtime run CONFIG` as a process.

    Args:
        config: The configuration file.
        log: Where its output goes; appended to.
        environment: Added to this process's environment.
        command: What `edge-runtime` is.
    """

    def __init__(
        self, config: Path, log: Path, environment: dict[str, str] | None = None, command: Sequence[str] = COMMAND
    ) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, "run", config], stdout=output, stderr=output, env={**os.environ, **(environment or {})}
            )

    @property
    def log(self) -> str:
        """Return what it has written."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def process_id(self) -> int:
        """Return its process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Tell whether it has not ended."""
        return self._process.poll() is None

    def terminate(self) -> int:
        """Send SIGTERM and return the exit status."""
        self._process.terminate()
        return self.wait()

    def kill(self) -> None:
        """End it as a power cut would; harmless when it has ended."""
        self._process.kill()
        self._process.wait(PATIENCE)

    def wait(self) -> int:
        """Return the exit status once it has ended."""
        return self._process.wait(PATIENCE)


class Site:
    """A folder with the tiny package, for a configuration and the daemons that serve it; none outlives `close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._daemons: list[Daemon] = []
        sum_package.write(folder / "sum.edgepkg")

    def configure(self, port: int, *pipelines: str, broker: str = "") -> Path:
        """Write a configuration, with the plain pipeline where none is given, and return its path."""
        path = self.folder / "daemon.toml"
        text = configuration(f"mqtt://{HOST}:{port}", pipelines or [pipeline()], broker)
        path.write_text(text, encoding="utf-8")
        return path

    def start(
        self, config: Path, environment: dict[str, str] | None = None, command: Sequence[str] = COMMAND
    ) -> Daemon:
        """Start a daemon; its log goes beside this folder, so that what it writes inside can be seen."""
        log = self.folder.parent / f"daemon-{len(self._daemons)}.log"
        self._daemons.append(Daemon(config, log, environment, command))
        return self._daemons[-1]

    def close(self) -> None:
        """Kill what still runs and show the logs, which are printed where a test fails."""
        for number, daemon in enumerate(self._daemons):
            daemon.kill()
            sys.stdout.write(f"--- log of daemon {number}\n{daemon.log}")


def run_verb(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a verb of `edge-runtime` to its end."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=4 * PATIENCE)
