"""The one disk thread of all outboxes: group commits, reading ahead, and going on when the disk does not."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence

from edge_runtime.errors import EnvironmentFault, Refused
from edge_runtime.messaging.outbox.disk_contract import Disk
from edge_runtime.messaging.outbox.keeping import Keeper
from edge_runtime.messaging.outbox.row import Change, Gap
from edge_runtime.messaging.outbox.settings import Bell

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
_STEP_SECONDS = 0.05

_DISK_ERRORS = (sqlite3.Error, OSError, EnvironmentFault, Refused)


class Writer:
    """Runs `step` whenever an outbox wants something of the disk.

    An error of the disk closes the file and is the outboxes' `fault` until it could be opened again and written;
    meanwhile entries wait in memory and are sent all the same.

    Args:
        disk: The store; nobody else uses it once `start` was called.
        wake: Called when the connection has something to take.
        on_gap: Called with what was given up, to be announced.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        disk: Disk,
        *,
        wake: Callable[[], None],
        on_gap: Callable[[list[Gap]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._disk, self._wake, self._on_gap, self._clock = disk, wake, on_gap, clock
        self._keepers: list[Keeper] = []
        self._event = threading.Event()
        self._closing = False
        self._give_up_at = 0.0
        self._fault: str | None = None
        self._opened_once = False
        self._doubt = False
        self._retry_at = 0.0
        self._thread = threading.Thread(target=self._run, name="outbox-disk", daemon=True)
        self.bell = Bell(self._event.set)

    @property
    def fault(self) -> str | None:
        """Tell why nothing can be stored at present."""
        return self._fault

    def open(self) -> set[str]:
        """Open the store and return the pipelines that have rows there; where the disk fails, retry in `step`.

        Raises:
            Refused: E-OUTBOX-SCHEMA.
            EnvironmentFault: E-OUTBOX-BUSY.
        """
        try:
            contents = self._disk.open()
        except (sqlite3.Error, OSError) as error:
            self._broke(error)
            return set()
        self._opened_once = True
        return {name for name, found in contents.items() if found.rows}

    def add(self, keeper: Keeper) -> None:
        """Take care of one more outbox; before `start`."""
        self._keepers.append(keeper)
        if self._opened_once:
            keeper.opened(self._disk.contents(keeper.outbox.name))

    def start(self) -> None:
        """Begin."""
        self._thread.start()
        self._event.set()

    def close(self, timeout: float) -> bool:
        """Store everything that is not settled and let go of the file; False where that was not done in time."""
        self._closing, self._give_up_at = True, self._clock() + timeout
        self._event.set()
        if self._thread.ident is None:
            self.finish()
        else:
            self._thread.join(timeout + _STEP_SECONDS)
        return not self._thread.is_alive() and not any(keeper.outbox.ledger.waiting for keeper in self._keepers)

    def finish(self) -> None:
        """Write everything and close the store; what the disk does not take by then is lost with the process."""
        while True:
            self.step(everything=True)
            left = any(keeper.outbox.ledger.waiting or keeper.outbox.deletes for keeper in self._keepers)
            if not left or self._clock() >= self._give_up_at:
                break
            if self._fault is not None:
                self._event.wait(_STEP_SECONDS)
                self._retry_at = min(self._retry_at, self._clock() + _STEP_SECONDS)
        self._disk.close()

    def step(self, *, everything: bool = False) -> float | None:
        """Do what is due and return the seconds until the next step; None where only a call brings it."""
        now = self._clock()
        broken = self._fault is not None or not self._opened_once
        if broken and now < self._retry_at:
            return self._retry_at - now
        if broken and not self._reopen():
            return RETRY_SECONDS
        try:
            changed = self._commit(now, everything=everything or broken)
            hungry = self._read(now, changed)
        except (sqlite3.Error, OSError) as error:
            self._broke(error)
            return RETRY_SECONDS
        finally:
            self._announce()
        self._fault_over()
        if hungry:
            self._wake()
        delays = [delay for keeper in self._keepers if (delay := keeper.due_in(now)) is not None]
        return min(delays, default=None)

    def _run(self) -> None:
        while not self._closing:
            self.bell.idle = False
            delay = self.step()
            if delay is None:
                self.bell.idle = True  # from here on `put` rings; what came before is seen by looking again
                if any(keeper.due_in(self._clock()) is not None for keeper in self._keepers):
                    delay = _STEP_SECONDS
            self._event.wait(delay)
            self._event.clear()
        self.bell.idle = False
        self.finish()

    def _commit(self, now: float, *, everything: bool) -> list[Keeper]:
        """Write what is due and return the outboxes it was of."""
        changes: list[tuple[Keeper, Change]] = []
        for keeper in self._keepers:
            change = keeper.collect(now, everything=everything)
            if change is not None:
                changes.append((keeper, change))
        if changes:
            self._apply(changes)
        for keeper, _ in changes:
            keeper.outbox.written = (self._disk.written_bytes, self._disk.commits)
            for release in keeper.committed():
                release()
        return [keeper for keeper, _ in changes]

    def _apply(self, changes: Sequence[tuple[Keeper, Change]]) -> None:
        done = False
        self._disk.uncertain = False
        try:
            for keeper, change in changes:
                keeper.make_room(self._disk, change)
            self._disk.apply([change for _, change in changes])
            done = True
        finally:
            if not done:
                self._doubt = self._doubt or self._disk.uncertain
                for keeper, _ in changes:
                    keeper.failed(uncertain=self._disk.uncertain)

    def _read(self, now: float, changed: Sequence[Keeper]) -> bool:
        """Look for what the connection may take next; tell whether there is something new."""
        hungry = False
        for keeper in self._keepers:
            keeper.rewind(now)
            keeper.evict(now)
            hungry = keeper.refill(self._disk, now) or hungry
        for keeper in changed:
            keeper.look(self._disk)
        return hungry

    def _reopen(self) -> bool:
        rebuilt = self._disk.rebuilt
        try:
            self._disk.open()
            doubt = self._doubt or self._disk.rebuilt != rebuilt
            for keeper in self._keepers:
                name = keeper.outbox.name
                if not self._opened_once:
                    keeper.opened(self._disk.contents(name))
                elif doubt:
                    contents = self._disk.contents(name)
                    for release in keeper.reconcile(self._disk.tickets(name), contents.bytes):
                        release()
        except _DISK_ERRORS as error:
            self._broke(error)
            return False
        self._opened_once, self._doubt = True, False
        return True

    def _broke(self, error: Exception) -> None:
        self._disk.distrust(error)
        self._disk.close()
        self._retry_at = self._clock() + RETRY_SECONDS
        fault = f"{type(error).__name__}: {error}"
        if fault != self._fault:
            log.error("the outbox cannot be written, predictions wait in memory: %s", fault)
        self._set_fault(fault)

    def _fault_over(self) -> None:
        if self._fault is not None:
            log.warning("the outbox is written again")
            self._set_fault(None)

    def _set_fault(self, fault: str | None) -> None:
        self._fault = fault
        for keeper in self._keepers:
            keeper.outbox.fault = fault

    def _announce(self) -> None:
        gaps = [gap for keeper in self._keepers for gap in keeper.announce()]
        if gaps:
            self._on_gap(gaps)
