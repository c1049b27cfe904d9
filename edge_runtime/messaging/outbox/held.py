"""What an outbox remembers of an entry, and of the `put` it came with."""

from __future__ import annotations

from collections.abc import Callable

from edge_runtime.messaging.outbox.contract import Entry


class Group:
    """The entries of one `put`: `left` counts those neither settled nor durable; at 0 the readings are released."""

    __slots__ = ("first", "left", "put_at", "release", "size")

    def __init__(self, release: Callable[[], None], first: int, size: int, put_at: float) -> None:
        self.release, self.first, self.size, self.put_at = release, first, size, put_at
        self.left = size


class Held:
    """An entry in memory.

    Attributes:
        ticket: Its number in this outbox and its row's on disk.
        entry: What is sent; marked historical already where it comes from the backlog.
        boot: The run of the daemon it is of.
        group: None once the readings behind it need it no more.
        stored: Whether it is durable on disk.
        sent: Whether the connection was given it.
        flying: Whether the connection still has it.
        gone: Whether it was settled or dropped, and is to be passed over wherever it is still listed.
        since: When it was put in or read; once sent, when that was.
        cost: Bytes of its row, once it is written.
    """

    __slots__ = ("boot", "cost", "entry", "flying", "gone", "group", "sent", "since", "stored", "ticket")

    def __init__(self, ticket: int, entry: Entry, boot: str, group: Group | None, since: float) -> None:
        self.ticket, self.entry, self.boot, self.group = ticket, entry, boot, group
        self.stored = group is None
        self.sent = self.flying = self.gone = False
        self.since = since
        self.cost = 0
