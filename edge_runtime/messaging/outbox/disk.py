"""The outbox of `broker` and `end_to_end`: sends at once, stores what is not settled soon, forgets what is."""

#   put ──► live lane ──────────────────────► take ──► settle / acknowledged ──► gone
#             │ not settled after 50 ms        ▲
#             ▼ disk thread                    │ at a bounded rate, marked historical
#           durable ──► backlog on disk ──► page read ahead

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import msgspec

from edge_runtime.messaging.message import Outgoing
from edge_runtime.messaging.outbox import unacknowledged
from edge_runtime.messaging.outbox.backlog import Allowance, Backlog
from edge_runtime.messaging.outbox.contract import Entry, OutboxHealth
from edge_runtime.messaging.outbox.held import Group, Held
from edge_runtime.messaging.outbox.ledger import Ledger
from edge_runtime.messaging.outbox.row import Gap, gaps_of, ticket_base
from edge_runtime.messaging.outbox.settings import Bell, DiskOptions
from edge_runtime.messaging.outbox.unacknowledged import Unacknowledged

COMMIT_AT = 512  # entries not settled, or rows to delete, for which the disk thread is called early; a busy broker has
# some hundred of them unsettled at any time, and takes each within milliseconds
MOST_IN_MEMORY = 8 << 20  # bytes that may wait for a disk that cannot be written

_APART = 1 << 40
_ENTRY_OVERHEAD = 500  # what Python's objects take beside the payload
_ROOM_FOR_LIVE = unacknowledged.MOST // 2


class DiskOutbox:
    """One pipeline's outbox.

    `put` is for its worker, `take` and `settle` for whoever holds the wire, `acknowledged` for the network thread.
    What the disk thread does with it is in `keeping.Keeper`.

    Args:
        name: Pipeline name.
        boot: This run of the daemon.
        options: See there.
        bell: Calls the disk thread.
        wake: Called when there is something to send.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        boot: str,
        options: DiskOptions,
        *,
        bell: Bell,
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.boot, self.options = name, boot, options
        self.bell, self.wake, self.clock = bell, wake, clock
        self.lock = threading.Lock()
        self.ledger = Ledger()
        self.held: dict[int, Held] = {}
        self.live: deque[Held] = deque()
        self.groups: deque[Group] = deque()
        self.deletes: dict[int, int] = {}  # ticket -> bytes of its row
        self.backlog = Backlog()
        self.unacknowledged = Unacknowledged()
        self.lost: list[Gap] = []  # to be announced
        self.ticket = ticket_base() + random.SystemRandom().randrange(_APART)  # until the file is open and says better
        self.moved_at = clock()  # when a live entry was taken last
        self.memory = 0  # bytes that wait for the disk
        self.hungry = self.reconnect = False
        self.fault: str | None = None
        self.oldest_at: int | None = None
        self.written = (0, 0)
        self._allowance = Allowance(options.replay_rate, clock())
        self._end_to_end = options.mode == "end_to_end"

    def accepts(self) -> bool:
        """False where the policy is reject_new and neither disk nor memory has room."""
        if self.options.when_full != "reject_new":
            return True
        return self.ledger.bytes + self.memory < self.options.bound and self.memory < MOST_IN_MEMORY

    def put(self, entries: Sequence[Entry], release: Callable[[], None]) -> None:
        """Take in predictions; they can be sent at once. See `contract.Outbox.put`."""
        if not entries:
            release()
            return
        now, boot = self.clock(), self.boot
        releases: list[Callable[[], None]] = []
        with self.lock:
            ticket = self.ticket + 1
            group = Group(release, ticket, len(entries), now)
            self.groups.append(group)
            for entry in entries:
                held = Held(ticket, entry, boot, group, now)
                self.held[ticket] = held
                self.live.append(held)
                self.memory += len(entry.payload) + _ENTRY_OVERHEAD
                ticket += 1
            self.ticket = ticket - 1
            self.ledger.accepted += len(entries)
            self.ledger.waiting += len(entries)
            self._allowance.live(len(entries), now)
            if self.memory > MOST_IN_MEMORY:
                self._shed(releases)
            ring = self.bell.idle or self.ledger.waiting >= COMMIT_AT
        _call(releases)
        self.wake()
        if ring:
            self.bell.ring()

    def take(self, room: int) -> Sequence[Outgoing]:
        """Return what is to be sent next, live and waiting entries as `replay` says."""
        now = self.clock()
        taken: list[Outgoing] = []
        with self.lock:
            if self.options.replay == "in_order" and self.backlog:
                self._take_backlog(taken, room, now)
            if self.options.replay == "live_first" or not self.backlog:
                self._take_live(taken, room, now)
                if self.backlog and len(taken) < room:
                    self._take_backlog(taken, room, now)
            ring = self.hungry and self.bell.idle
        if ring:
            self.bell.ring()
        return taken

    def settle(self, tickets: Sequence[int]) -> None:
        """Note what the broker has acknowledged: in `broker` mode it is delivered, in `end_to_end` only on its way."""
        releases: list[Callable[[], None]] = []
        with self.lock:
            for ticket in tickets:
                held = self.held.get(ticket)
                if held is None:
                    continue
                held.flying = False
                if not self._end_to_end:
                    self._delivered(held, releases)
            ring = self._wants_delete()
        _call(releases)
        if ring:
            self.bell.ring()

    def lose(self, tickets: Sequence[int]) -> None:
        """Nothing is ever lost so: everything here is sent at QoS 1, which the connection repeats."""

    def acknowledged(self, stream: str, boot: str, sequence: int) -> None:
        """Note that the subscriber has a stream up to a sequence; only what was sent can be settled so."""
        releases: list[Callable[[], None]] = []
        with self.lock:
            for held in self.unacknowledged.covered(stream, boot, sequence):
                self._delivered(held, releases)
            ring = self._wants_delete()
        _call(releases)
        self.wake()
        if ring:
            self.bell.ring()

    def reconnected(self) -> None:
        """Send again what the subscriber has not acknowledged: the broker may have lost it."""
        if self._end_to_end:
            self.reconnect = True
            self.bell.ring()

    def health(self) -> OutboxHealth:
        """Return the account."""
        now = self.clock()
        with self.lock:
            oldest = next((now - held.group.put_at for held in self.held.values() if held.group), None)
            on_disk = max(0.0, time.time() - self.oldest_at) if self.oldest_at is not None else None
            ages = [age for age in (oldest, on_disk) if age is not None]
            return msgspec.structs.replace(
                self.ledger.health(),
                bound_bytes=self.options.bound,
                oldest_age_s=round(max(ages), 3) if ages else None,
                minutes_left=self.ledger.minutes_left(self.options.bound, now),
                written_bytes=self.written[0],
                commits=self.written[1],
                fault=self.fault,
            )

    def remember_memory(self, held: Held) -> None:
        """Count an entry in that waits for the disk; under the lock."""
        self.memory += len(held.entry.payload) + _ENTRY_OVERHEAD

    def forget_memory(self, held: Held) -> None:
        """Count an entry out of what waits for the disk; under the lock."""
        self.memory -= len(held.entry.payload) + _ENTRY_OVERHEAD

    def drop(self, lost: Iterable[Held], reason: str, releases: list[Callable[[], None]]) -> None:
        """Count entries in memory as lost, to be announced; under the lock."""
        names = []
        for held in lost:
            self._leave(held, releases)
            self.ledger.dropped[reason] += 1
            names.append((held.entry.stream, held.boot, held.entry.sequence))
        self.lost += gaps_of(self.name, names, reason)

    def _take_live(self, taken: list[Outgoing], room: int, now: float) -> None:
        most = room - len(taken)
        if self._end_to_end:
            most = min(most, unacknowledged.MOST - self.unacknowledged.count)
        while self.live and most > 0:
            held = self.live.popleft()
            if not held.gone:
                taken.append(self._send(held, now, live=True))
                self.moved_at = now
                most -= 1

    def _take_backlog(self, taken: list[Outgoing], room: int, now: float) -> None:
        most = room - len(taken)
        if self._end_to_end:
            most = min(most, _ROOM_FOR_LIVE - self.unacknowledged.count)
            if most <= 0:
                return  # an acknowledgement, or the time to send again, comes first
        page = self.backlog.page
        if self.options.replay == "live_first":
            most = self._allowance.take(min(most, len(page)), now)
        while page and most > 0:
            held = page.popleft()
            if not held.gone:
                taken.append(self._send(held, now, live=False))
                most -= 1
        self.hungry = self.hungry or (bool(self.backlog) and len(taken) < room)

    def _send(self, held: Held, now: float, *, live: bool) -> Outgoing:
        held.sent = held.flying = True
        if self._end_to_end:
            self.unacknowledged.add(held, now, live=live)
        return Outgoing(held.entry.topic, held.entry.payload, 1, False, held.ticket)

    def _delivered(self, held: Held, releases: list[Callable[[], None]]) -> None:
        self._leave(held, releases)
        self.ledger.delivered += 1

    def _leave(self, held: Held, releases: list[Callable[[], None]]) -> None:
        del self.held[held.ticket]
        held.gone = True
        self.ledger.leaves(stored=held.stored)
        if held.stored:
            self.deletes[held.ticket] = held.cost
        else:
            self.forget_memory(held)
            safe(held, releases)

    def _wants_delete(self) -> bool:
        return bool(self.deletes) and (self.bell.idle or len(self.deletes) >= COMMIT_AT)

    def _shed(self, releases: list[Callable[[], None]]) -> None:
        """Let the oldest unsent entries go that no disk has taken, until memory is within its bound."""
        lost, over = [], self.memory - MOST_IN_MEMORY
        for held in self.live:
            if over <= 0:
                break
            if not held.stored and not held.gone:
                lost.append(held)
                over -= len(held.entry.payload) + _ENTRY_OVERHEAD
        self.drop(lost, "memory_full", releases)
        while self.live and self.live[0].gone:
            self.live.popleft()


def safe(held: Held, releases: list[Callable[[], None]]) -> None:
    """Count an entry that is settled, durable or dropped; the last one of its group releases the readings."""
    group, held.group = held.group, None
    if group is not None:
        group.left -= 1
        if group.left == 0:
            releases.append(group.release)


def _call(releases: Sequence[Callable[[], None]]) -> None:
    for release in releases:
        release()
