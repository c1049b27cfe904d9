"""The disk thread's side of one outbox: what to write, what gives way, what to read, and what became of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence

from edge_runtime.messaging.outbox.backlog import PAGE_ROWS
from edge_runtime.messaging.outbox.disk import COMMIT_AT, DiskOutbox, safe
from edge_runtime.messaging.outbox.disk_contract import Disk
from edge_runtime.messaging.outbox.giving_way import LAST, Choice, Thinning, oldest
from edge_runtime.messaging.outbox.held import Group, Held
from edge_runtime.messaging.outbox.row import Change, Contents, Gap, Row, cost, gaps_of

LIVE_ENTRIES = 16384  # unsent and durable entries beyond this many, or older than this, wait on disk alone
LIVE_SECONDS = 5.0
BURST_SECONDS = 30.0  # the same while the connection takes live entries: so long does a burst stay in order

_MOST_ROWS = 512  # in one transaction, so that a nearly full disk takes at least a part


class Keeper:
    """Moves one outbox's entries between memory and disk; every method is called on the disk thread.

    Args:
        outbox: The outbox.
    """

    def __init__(self, outbox: DiskOutbox) -> None:
        self.outbox = outbox
        self._thinning = Thinning()
        self._groups: list[Group] = []
        self._rows: list[Row] = []
        self._deletes: dict[int, int] = {}
        self._choice = Choice()
        self._again = False

    def opened(self, contents: Contents) -> None:
        """Take in what an earlier run left: all of it is backlog."""
        outbox = self.outbox
        with outbox.lock:
            if not outbox.ledger.accepted:
                outbox.ticket = contents.last
            outbox.ledger.found(contents.rows, contents.bytes, outbox.clock())
            outbox.backlog.upto = max(outbox.backlog.upto, contents.last)
            if not contents.rows:
                outbox.backlog.cursor = outbox.backlog.upto

    def due_in(self, now: float) -> float | None:
        """Return the seconds until there may be something to do; None where only a call brings it."""
        outbox = self.outbox
        with outbox.lock:
            if outbox.ledger.waiting or outbox.deletes or outbox.hungry or outbox.reconnect:
                return outbox.options.commit_after
            sent = outbox.unacknowledged.oldest()
            return None if sent is None else max(outbox.options.commit_after, self._again_at(sent) - now)

    def collect(self, now: float, *, everything: bool = False) -> Change | None:
        """Return what is to be written now, None where nothing is."""
        outbox = self.outbox
        rows: list[Row] = []
        with outbox.lock:
            early = everything or outbox.ledger.waiting >= COMMIT_AT or outbox.reconnect
            limit = now - outbox.options.commit_after
            while outbox.groups and (early or outbox.groups[0].put_at <= limit) and len(rows) < _MOST_ROWS:
                group = outbox.groups.popleft()
                if group.left:
                    self._groups.append(group)
                    rows += self._unsafe(group)
            self._deletes, outbox.deletes = outbox.deletes, {}
        self._rows = rows
        settled = list(self._deletes)
        return Change(outbox.name, rows, settled, settled) if rows or self._deletes else None

    def make_room(self, disk: Disk, change: Change) -> None:
        """Add to the change what gives way for it; may raise what the disk raises."""
        outbox, policy = self.outbox, self.outbox.options.when_full
        size = sum(cost(outbox.name, row) for row in self._rows)
        over = outbox.ledger.bytes + size - sum(self._deletes.values()) - outbox.options.bound
        if over <= 0 or policy == "reject_new" or not self._rows:
            return
        self.evict(math.inf)
        with outbox.lock:
            kept = {ticket for ticket, held in outbox.held.items() if held.flying}
            kept.update(self._deletes, outbox.deletes)
        if policy == "decimate":
            choice = self._thinning.choose(disk, outbox.name, over, kept, outbox.ledger.stored)
        else:
            choice = oldest(disk, outbox.name, over, kept)
        self._choice = Choice([row for row in choice.lost if self._gives_way(row)], choice.moved)
        change.deletes = [*self._deletes, *(row.ticket for row in (*self._choice.lost, *choice.moved))]
        change.rows = [*choice.moved, *self._rows]

    def committed(self) -> list[Callable[[], None]]:
        """Note that the change is durable and return the releases that follow from it."""
        outbox, releases = self.outbox, list[Callable[[], None]]()
        with outbox.lock:
            for row in self._rows:
                self._now_stored(row, releases)
                outbox.ledger.bytes += cost(outbox.name, row)
            outbox.ledger.bytes -= sum(self._deletes.values())
            outbox.ledger.bytes -= sum(cost(outbox.name, row) for row in self._choice.lost)
            self._lose(self._choice.lost)
        self._forget()
        return releases

    def failed(self, *, uncertain: bool) -> None:
        """Note that the change was not done, or perhaps not: all of it is to be done again."""
        outbox = self.outbox
        with outbox.lock:
            outbox.groups.extendleft(reversed(self._groups))
            outbox.deletes = {**self._deletes, **outbox.deletes}
            if self._again:
                self._read_again()
        if not uncertain:
            self._forget()

    def reconcile(self, tickets: set[int], size: int) -> list[Callable[[], None]]:
        """Hold the account against what is on disk in fact, after a rebuild or a commit whose end nobody knows."""
        outbox, releases = self.outbox, list[Callable[[], None]]()
        with outbox.lock:
            self._lose([row for row in self._choice.lost if row.ticket not in tickets])
            outbox.deletes = {ticket: size for ticket, size in outbox.deletes.items() if ticket in tickets}
            for row in self._rows:
                if row.ticket in tickets:
                    self._now_stored(row, releases)
            for held in [held for held in outbox.held.values() if held.stored and held.ticket not in tickets]:
                self._unstore(held)
            missing = outbox.ledger.stored - (len(tickets) - len(outbox.deletes))
            outbox.ledger.stored -= missing
            if missing > 0:
                outbox.ledger.dropped["corrupt"] += missing
                outbox.lost.append(Gap(outbox.name, "", "", 0, 0, "corrupt"))
            else:  # deleted rows that a salvage brought back are sent once more
                outbox.ledger.accepted -= missing
            outbox.ledger.bytes = size
            self._read_again()
        self._forget()
        return releases

    def evict(self, now: float) -> None:
        """Leave to the disk alone what is durable, unsent, and too much or too old to be sent as live."""
        outbox = self.outbox
        with outbox.lock:
            live = outbox.live
            oldest = now - (BURST_SECONDS if outbox.moved_at > now - LIVE_SECONDS else LIVE_SECONDS)
            while live and (live[0].gone or live[0].stored):
                held = live[0]
                young = held.since > oldest
                if not held.gone and young and len(live) <= LIVE_ENTRIES:
                    break
                live.popleft()
                if not held.gone:
                    del outbox.held[held.ticket]
                    held.gone = True
                    outbox.backlog.upto = max(outbox.backlog.upto, held.ticket)
                    if held.ticket <= outbox.backlog.cursor:
                        self._read_again()

    def rewind(self, now: float) -> bool:
        """Go back to the oldest unacknowledged row where its time is up or the link is new; tell whether it was."""
        outbox = self.outbox
        with outbox.lock:
            sent = outbox.unacknowledged.oldest()
            if not outbox.reconnect and (sent is None or now < self._again_at(sent)):
                return False
            outbox.reconnect = False
            again = outbox.unacknowledged.rewind()
            for held in again:
                del outbox.held[held.ticket]
                held.gone = True
            if again:
                outbox.backlog.upto = max(outbox.backlog.upto, *(held.ticket for held in again))
                self._read_again()
            return bool(again)

    def refill(self, disk: Disk, now: float) -> bool:
        """Read the next page of the backlog where there is room for it; tell whether there is more to take."""
        outbox, backlog = self.outbox, self.outbox.backlog
        with outbox.lock:
            wanted, hungry = backlog.wants_page, outbox.hungry
            outbox.hungry = False
            after, upto = backlog.cursor, backlog.upto
        if wanted:
            rows, damaged = disk.page(outbox.name, after, upto, PAGE_ROWS)
            with outbox.lock:
                for row in rows:
                    entry = backlog.marked(row)
                    if row.ticket not in outbox.held and row.ticket not in outbox.deletes:
                        held = Held(row.ticket, entry, row.boot, None, now)
                        held.cost = cost(outbox.name, row)
                        outbox.held[row.ticket] = held
                        backlog.page.append(held)
                backlog.read_to(rows, damaged, upto)
                self._damaged(damaged)
        return hungry or wanted

    def look(self, disk: Disk) -> None:
        """Note how old the oldest row is."""
        rows, _ = disk.page(self.outbox.name, 0, LAST, 1)
        self.outbox.oldest_at = rows[0].at if rows else None

    def dropping(self) -> list[Row]:
        """Return the rows that give way in the change at hand."""
        return list(self._choice.lost)

    def announce(self) -> list[Gap]:
        """Return the gaps since the last call."""
        outbox = self.outbox
        with outbox.lock:
            gaps, outbox.lost = outbox.lost, []
        return gaps

    def _again_at(self, sent: float) -> float:
        return sent + self.outbox.options.resend_after

    def _unsafe(self, group: Group) -> list[Row]:
        """Return a group's entries that are neither settled nor durable."""
        held = (self.outbox.held.get(ticket) for ticket in range(group.first, group.first + group.size))
        return [_row(one) for one in held if one is not None and not one.stored]

    def _now_stored(self, row: Row, releases: list[Callable[[], None]]) -> None:
        held = self.outbox.held.get(row.ticket)
        if held is None:  # settled or dropped while it was being written
            self.outbox.deletes[row.ticket] = cost(self.outbox.name, row)
        elif not held.stored:
            held.stored = True
            held.cost = cost(self.outbox.name, row)
            self.outbox.ledger.stores(1)
            self.outbox.forget_memory(held)
            safe(held, releases)

    def _gives_way(self, row: Row) -> bool:
        """Take a row out of memory before it goes from disk; False where the connection has just been given it."""
        outbox = self.outbox
        with outbox.lock:
            held = outbox.held.get(row.ticket)
            live = held is not None and (held.flying or not (held.sent or row.ticket <= outbox.backlog.upto))
            if live or row.ticket in outbox.deletes:
                return False
            if held is not None:
                del outbox.held[row.ticket]
                held.gone = self._again = True
                outbox.backlog.upto = max(outbox.backlog.upto, row.ticket)  # if it does not go after all
                if held.sent:
                    outbox.unacknowledged.forget()
        return True

    def _unstore(self, held: Held) -> None:
        outbox = self.outbox
        held.stored = False
        held.group = Group(_nothing, held.ticket, 1, outbox.clock())
        outbox.groups.append(held.group)
        outbox.ledger.stores(-1)
        outbox.remember_memory(held)

    def _lose(self, rows: Iterable[Row]) -> None:
        """Count rows that gave way on disk."""
        outbox, names = self.outbox, [(row.stream, row.boot, row.sequence) for row in rows]
        if not names:
            return
        outbox.ledger.stored -= len(names)
        outbox.ledger.dropped[self._reason] += len(names)
        outbox.lost += gaps_of(outbox.name, names, self._reason)

    @property
    def _reason(self) -> str:
        return "bound_decimated" if self.outbox.options.when_full == "decimate" else "bound_oldest"

    def _damaged(self, tickets: Sequence[int]) -> None:
        """Give up rows whose checksum is wrong; those that are in memory as well are not lost."""
        outbox = self.outbox
        lost = [ticket for ticket in tickets if ticket not in outbox.held and ticket not in outbox.deletes]
        if lost:
            outbox.deletes.update(dict.fromkeys(lost, 0))
            outbox.ledger.stored -= len(lost)
            outbox.ledger.dropped["corrupt"] += len(lost)
            outbox.lost.append(Gap(outbox.name, "", "", 0, 0, "corrupt"))

    def _read_again(self) -> None:
        outbox = self.outbox
        for held in outbox.backlog.page:
            outbox.held.pop(held.ticket, None)
        outbox.backlog.rewind()

    def _forget(self) -> None:
        self._groups, self._rows, self._deletes, self._choice, self._again = [], [], {}, Choice(), False


def _row(held: Held) -> Row:
    entry = held.entry
    return Row(held.ticket, entry.stream, held.boot, entry.sequence, entry.topic, entry.payload, int(time.time()))


def _nothing() -> None:
    """Release nothing: the readings behind the entry were released when it was first durable."""
