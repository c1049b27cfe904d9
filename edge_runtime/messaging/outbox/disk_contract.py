"""The contract between the disk thread and the store it writes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edge_runtime.messaging.outbox.row import Change, Contents, Row


class Disk(Protocol):
    """What the disk thread needs of a store; any call but `close` may raise sqlite3.Error or OSError."""

    written_bytes: int
    commits: int
    rebuilt: int
    uncertain: bool

    def open(self) -> dict[str, Contents]:
        """Make ready for use, also after `close`, and return what each pipeline has there."""

    def apply(self, changes: Sequence[Change]) -> None:
        """Do all changes and return once they are durable, or raise having done none; see `uncertain`."""

    def page(self, pipeline: str, after: int, upto: int, limit: int) -> tuple[list[Row], list[int]]:
        """Return the next rows with after < ticket <= upto, and the tickets among them whose rows are damaged."""

    def tickets(self, pipeline: str) -> set[int]:
        """Return the tickets of all rows."""

    def contents(self, pipeline: str) -> Contents:
        """Return what a pipeline has there; nothing where it is new."""

    def distrust(self, error: Exception) -> None:
        """Take note of an error in use: it may mean that the file is to be rebuilt at the next `open`."""

    def close(self) -> None:
        """Let go of the file; harmless when not open."""
