"""From the configuration to the outboxes of a daemon."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from edge_runtime.config_options import Config
from edge_runtime.delivery_options import DeliveryConfig
from edge_runtime.errors import EnvironmentFault
from edge_runtime.messaging.message import Supply
from edge_runtime.messaging.outbox.acknowledgement import acks_in
from edge_runtime.messaging.outbox.contract import Outbox
from edge_runtime.messaging.outbox.disk import DiskOutbox
from edge_runtime.messaging.outbox.keeping import Keeper
from edge_runtime.messaging.outbox.memory import MemoryOutbox
from edge_runtime.messaging.outbox.row import Gap
from edge_runtime.messaging.outbox.settings import DiskOptions
from edge_runtime.messaging.outbox.store import Store
from edge_runtime.messaging.outbox.writer import Writer
from edge_runtime.option_types import seconds, size_in_bytes


class Outboxes:
    """All outboxes of a daemon and the thread that writes them.

    Args:
        config: The configuration.
        folder: The state folder; made where it is missing and something is to be stored.
        boot: This run of the daemon.
        wake: Called when there is something to send: `Connection.offer`.
        on_gap: Called on the disk thread with what was given up, to be published; see `gap_message`.
        clock: Monotonic seconds.

    Attributes:
        of: Pipeline name -> its outbox.
        supplies: All of them, and one for each pipeline that is configured no more but left something on disk.
        wants_acks: Whether the acknowledgement topic is to be subscribed to.

    Raises:
        Refused: E-OUTBOX-SCHEMA.
        EnvironmentFault: E-OUTBOX-BUSY, or E-FILE-WRITE: the folder cannot be made.
    """

    def __init__(
        self,
        config: Config,
        folder: Path,
        boot: str,
        *,
        wake: Callable[[], None],
        on_gap: Callable[[list[Gap]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._boot, self._wake, self._clock = config, boot, wake, clock
        storing = [one.name for one in config.pipeline if one.delivery.mode != "best_effort"]
        self._share = size_in_bytes(config.outbox.bound) // max(len(storing), 1)
        self._disks: dict[str, DiskOutbox] = {}
        self._memories: dict[str, MemoryOutbox] = {}
        path = folder / "outbox.db"
        self._writer: Writer | None = None
        if storing or path.exists():
            self._make_folder(folder)
            self._writer = Writer(Store(path), wake=wake, on_gap=on_gap, clock=clock)
            left = self._writer.open()
            deliveries = {one.name: one.delivery for one in config.pipeline if one.name in storing}
            for name in [*storing, *sorted(left - set(storing))]:
                self._add(self._writer, name, deliveries.get(name, DeliveryConfig()))
        for one in config.pipeline:
            if one.delivery.mode == "best_effort":
                self._memories[one.name] = MemoryOutbox(wake, clock=clock)
        self.of: dict[str, Outbox] = {
            one.name: self._memories.get(one.name) or self._disks[one.name] for one in config.pipeline
        }
        self.supplies: Sequence[Supply] = (*self._memories.values(), *self._disks.values())
        self.wants_acks = any(one.delivery.mode == "end_to_end" for one in config.pipeline)

    def start(self) -> None:
        """Begin to write; what waits on disk is offered to the connection."""
        if self._writer:
            self._writer.start()

    def acknowledge(self, payload: bytes) -> bool:
        """Take in a message from the acknowledgement topic; False where it is none."""
        acks = acks_in(payload)
        for ack in acks or ():
            outbox = self._disks.get(ack.pipeline)
            if outbox is not None:
                outbox.acknowledged(ack.stream, ack.boot, ack.seq)
        return acks is not None

    def reconnected(self) -> None:
        """Tell that the connection is up again: what subscribers have not acknowledged is sent again."""
        for outbox in self._disks.values():
            outbox.reconnected()

    def waiting(self) -> int:
        """Return how many predictions are in memory only."""
        memories = sum(outbox.health().waiting for outbox in self._memories.values())
        return memories + sum(outbox.ledger.waiting for outbox in self._disks.values())

    def close(self, timeout: float) -> bool:
        """Store everything that is not delivered; False where something is in memory still after so many seconds."""
        stored = self._writer is None or self._writer.close(timeout)
        return stored and not self.waiting()

    def _add(self, writer: Writer, name: str, delivery: DeliveryConfig) -> None:
        options = DiskOptions(
            mode="end_to_end" if delivery.mode == "end_to_end" else "broker",
            replay=delivery.replay,
            replay_rate=delivery.replay_rate,
            when_full=delivery.when_full,
            resend_after=seconds(delivery.resend_after),
            commit_after=seconds(self._config.outbox.commit_after),
            bound=self._share,
        )
        outbox = DiskOutbox(name, self._boot, options, bell=writer.bell, wake=self._wake, clock=self._clock)
        writer.add(Keeper(outbox))
        self._disks[name] = outbox

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            fix = "name a folder in [state] that the daemon's user may write"
            raise EnvironmentFault("E-FILE-WRITE", f"cannot make {folder}: {error.strerror}", fix) from error


def gap_message(gaps: Sequence[Gap]) -> bytes:
    """Return what is published on the gap topic: ``{"gaps": [{"pipeline": …, "stream": …, …}]}``."""
    return msgspec.json.encode({"gaps": gaps})
