"""The real daemon as a child process that never outlives the demo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType

from edge_runtime.errors import EnvironmentFault

_STOP_SECONDS = 15.0
_LOG_LINES_SHOWN = 15


class Daemon:
    """`edge-runtime run CONFIG`, started by module so that it works from an environment that is not activated.

    Args:
        config: The daemon's configuration.
        log: File that takes everything the daemon writes to its terminal.
    """

    def __init__(self, config: Path, log: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            # Its own session: a Ctrl-C in the terminal reaches the demo alone, which then stops the daemon in order.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edge_runtime", "run", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Daemon:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def process_id(self) -> int:
        """Return its process id."""
        return self._process.pid

    def check_running(self) -> None:
        """Make sure it is still there.

        Raises:
            EnvironmentFault: E-DEMO-DAEMON, with the last lines of its log.
        """
        if self._process.poll() is not None:
            raise self.failed(f"the daemon ended with exit status {self._process.returncode}")

    def stop(self) -> int:
        """Send SIGTERM, wait, and return the exit status; kill it if it does not end or the user will not wait."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._process.kill()
        return self._process.wait()

    def failed(self, what: str) -> EnvironmentFault:
        """Return an error that carries the last lines of the daemon's log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES_SHOWN:]
        log = "\n    ".join(lines) or "(empty)"
        return EnvironmentFault(
            "E-DEMO-DAEMON",
            f"{what}; the end of its log:\n    {log}",
            "run `edgeopt demo` again; if it stays, report the lines above",
        )
