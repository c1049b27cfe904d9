"""A process to be killed: puts entries into an outbox on disk, prints what was released, takes and settles nothing."""

from __future__ import annotations

import sys
from pathlib import Path

from edge_runtime.messaging.outbox.contract import Entry
from edge_runtime.messaging.outbox.disk import DiskOutbox
from edge_runtime.messaging.outbox.keeping import Keeper
from edge_runtime.messaging.outbox.row import Gap
from edge_runtime.messaging.outbox.settings import DiskOptions
from edge_runtime.messaging.outbox.store import Store
from edge_runtime.messaging.outbox.writer import Writer


def nothing(_: list[Gap] | None = None) -> None:
    """Do nothing."""


def say(*words: object) -> None:
    """Write a line at once: the next moment may be the last."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def main(folder: str, boot: str, first: int, count: int) -> None:
    """Store `count` entries, 8 at a time, saying which are safe; settle every second one."""
    writer = Writer(Store(Path(folder) / "outbox.db"), wake=nothing, on_gap=nothing)
    writer.open()
    outbox = DiskOutbox("p", boot, DiskOptions(commit_after=0.0), bell=writer.bell, wake=nothing)
    writer.add(Keeper(outbox))
    for start in range(first, first + count, 8):
        numbers = range(start, min(start + 8, first + count))
        entries = [Entry("s", n, "t/s", b'{"stream":"s","boot":"%s","seq":%d}' % (boot.encode(), n)) for n in numbers]
        outbox.put(entries, lambda numbers=numbers: say("safe", *numbers))  # type: ignore[misc]
        writer.step()
        gone = [outgoing.ticket for outgoing in outbox.take(4)]
        names = [outbox.held[ticket].entry.sequence for ticket in gone if ticket in outbox.held]
        outbox.settle(gone)
        say("gone", *names)
    writer.close(5.0)
    say("closed")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
