"""An outbox in a world of its own: a disk that fails, a link that drops, a forgetful broker, a clock that is told."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Sequence

from edge_runtime.messaging.message import Outgoing
from edge_runtime.messaging.outbox.contract import Entry
from edge_runtime.messaging.outbox.disk import DiskOutbox
from edge_runtime.messaging.outbox.keeping import Keeper
from edge_runtime.messaging.outbox.row import Change, Contents, Gap, Row, cost, ticket_base
from edge_runtime.messaging.outbox.settings import DiskOptions
from edge_runtime.messaging.outbox.writer import Writer

Key = tuple[str, str, int]  # (stream, boot, sequence)


class FakeDisk:
    """A store in memory whose calls can be made to fail, before or after they were done."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[int, Row]] = {}
        self.written_bytes = self.commits = self.rebuilt = 0
        self.uncertain = False
        self.is_open = False
        self.broken: str | None = None  # "before": a call does nothing and fails; "after": it is done and fails
        self.most_rows: int | None = None

    def open(self) -> dict[str, Contents]:
        """See `Disk`."""
        if self.broken == "before":
            raise sqlite3.OperationalError("unable to open database file")
        self.is_open = True
        return {name: self.contents(name) for name in self.rows}

    def apply(self, changes: Sequence[Change]) -> None:
        """See `Disk`."""
        assert self.is_open
        inserted = sum(len(change.rows) for change in changes)
        if self.broken == "before" or (self.most_rows is not None and inserted and self._count() >= self.most_rows):
            raise sqlite3.OperationalError("database or disk is full")
        for change in changes:
            table = self.rows.setdefault(change.pipeline, {})
            for ticket in change.deletes:
                table.pop(ticket, None)
            table.update({row.ticket: row for row in change.rows})
        self.commits += 1
        if self.broken == "after":
            self.uncertain = True
            raise sqlite3.OperationalError("disk I/O error")

    def page(self, pipeline: str, after: int, upto: int, limit: int) -> tuple[list[Row], list[int]]:
        """See `Disk`."""
        assert self.is_open
        if self.broken == "before":
            raise sqlite3.OperationalError("disk I/O error")
        table = self.rows.get(pipeline, {})
        return [table[ticket] for ticket in sorted(table) if after < ticket <= upto][:limit], []

    def tickets(self, pipeline: str) -> set[int]:
        """See `Disk`."""
        return set(self.rows.get(pipeline, {}))

    def contents(self, pipeline: str) -> Contents:
        """See `Disk`."""
        rows = self.rows.get(pipeline, {})
        size = sum(cost(pipeline, row) for row in rows.values())
        return Contents(len(rows), size, max([ticket_base(), *rows]))

    def distrust(self, error: Exception) -> None:
        """See `Disk`."""

    def close(self) -> None:
        """See `Disk`."""
        self.is_open = False

    def _count(self) -> int:
        return sum(len(rows) for rows in self.rows.values())


class Subscriber:
    """Keeps every prediction once and knows up to where nothing is missing."""

    def __init__(self) -> None:
        self.have: set[Key] = set()
        self.gaps: set[Key] = set()
        self.upto: dict[tuple[str, str], int] = {}
        self.order: list[tuple[Key, bool]] = []

    def receive(self, payload: bytes) -> None:
        """Take in one prediction."""
        said = json.loads(payload)
        key = (said["stream"], said["boot"], said["seq"])
        historical = said.get("historical", False)
        if key not in self.have:
            self.order.append((key, historical))
        self.have.add(key)
        if historical:
            for missing in range(said["after"] + 1, key[2]):
                self.gaps.add((key[0], key[1], missing))

    def told(self, gaps: list[Gap]) -> None:
        """Take in an announcement."""
        for gap in gaps:
            self.gaps.update((gap.stream, gap.boot, seq) for seq in range(gap.first, gap.last + 1))

    def acks(self) -> dict[tuple[str, str], int]:
        """Return for every (stream, boot) the sequence up to which nothing is missing."""
        for stream, boot, _ in self.have:
            reached = self.upto.get((stream, boot), 0)
            while (stream, boot, reached + 1) in self.have | self.gaps:
                reached += 1
            self.upto[stream, boot] = reached
        return self.upto


class World:
    """One schedule: everything that happens is drawn from one seed."""

    def __init__(self, seed: int, options: DiskOptions) -> None:
        self.random = random.Random(seed)
        self.options = options
        self.now = 1000.0
        self.disk = FakeDisk()
        self.subscriber = Subscriber()
        self.announced: list[Gap] = []
        self.safe: set[Key] = set()  # released: the sensor messages behind them will not come again
        self.accepted: dict[str, int] = {}
        self.boots = 0
        self.died_unsaid: set[Key] = set()  # dropped by a commit that was cut short before anybody could be told
        self.start()

    def start(self) -> None:
        """Start the daemon: whatever was in memory is gone."""
        self.boots += 1
        self.boot = f"b{self.boots}"
        self.next: dict[str, int] = {}
        self.flying: list[Outgoing] = []
        self.put_count = 0
        clock: Callable[[], float] = lambda: self.now  # noqa: E731
        self.writer = Writer(self.disk, wake=lambda: None, on_gap=self._on_gap, clock=clock)
        self.writer.open()
        self.outbox = DiskOutbox("p", self.boot, self.options, bell=self.writer.bell, wake=lambda: None, clock=clock)
        self.keeper = Keeper(self.outbox)
        self.writer.add(self.keeper)
        self.found = self.outbox.ledger.accepted
        self.found_late = self.found == 0 and self.writer.fault is not None

    def act(self) -> None:
        """Do one thing and look at the account."""
        act = self.random.choices(self.acts(), weights=[35, 20, 15, 15, 5, 3, 2, 2, 3])[0]
        act()
        self.check()

    def acts(self) -> list[Callable[[], None]]:
        """Return what can happen."""
        draw = self.random
        return [
            lambda: self.put(draw.randint(1, 30)),
            lambda: self.take(draw.randint(1, 20)),
            self.settle,
            lambda: self.step(draw.choice([0.0, 0.01, 0.06, 1.5])),
            self.trouble,
            self.wait,
            self.reconnect,
            self.crash,
            self.acknowledge,
        ]

    def trouble(self) -> None:
        """Let the disk fail from now on, in some way, or work again."""
        self.disk.broken = self.random.choice([None, None, "before", "after"])
        self.disk.most_rows = self.random.choice([None, None, 40])

    def wait(self) -> None:
        """Let time pass."""
        self.now += self.random.choice([3.0, 40.0])

    def reconnect(self) -> None:
        """Break the link: the connection repeats what is in flight, so some of it comes twice."""
        for outgoing in self.flying:
            if self.random.random() < 0.5:
                self.subscriber.receive(outgoing.payload)
        self.outbox.reconnected()

    def put(self, count: int) -> None:
        """Put some entries of some streams."""
        if not self.outbox.accepts():
            return
        entries, keys = [], []
        for _ in range(count):
            stream = self.random.choice("xyz")
            seq = self.next[stream] = self.next.get(stream, 0) + 1
            said = {"stream": stream, "boot": self.boot, "seq": seq, "pad": "." * self.random.choice([10, 400])}
            entries.append(Entry(stream, seq, f"t/{stream}", json.dumps(said).encode()))
            keys.append((stream, self.boot, seq))
        self.put_count += count
        self.outbox.put(entries, lambda: self.safe.update(keys))

    def take(self, room: int) -> None:
        """Let the connection take."""
        taken = self.outbox.take(room)
        assert len(taken) <= room
        self.flying += taken

    def settle(self) -> None:
        """Let the broker acknowledge some of what is in flight, and lose some of it in end_to_end."""
        count = self.random.randint(0, len(self.flying))
        done, self.flying = self.flying[:count], self.flying[count:]
        for outgoing in done:
            forgotten = self.options.mode == "end_to_end" and self.random.random() < 0.2
            if not forgotten:
                self.subscriber.receive(outgoing.payload)
        self.outbox.settle([outgoing.ticket for outgoing in done])

    def acknowledge(self) -> None:
        """Let the subscriber say what it has."""
        if self.options.mode == "end_to_end":
            for (stream, boot), sequence in self.subscriber.acks().items():
                self.outbox.acknowledged(stream, boot, sequence)

    def step(self, passed: float) -> None:
        """Let the disk thread do what is due."""
        self.now += passed
        self.writer.step()

    def crash(self) -> None:
        """Kill the daemon; what was in flight may have arrived."""
        for outgoing in self.flying:
            if self.random.random() < 0.5:
                self.subscriber.receive(outgoing.payload)
        dying = self.keeper.dropping()
        self.died_unsaid |= {(r.stream, r.boot, r.sequence) for r in dying if r.ticket not in self.disk.rows["p"]}
        self.disk.close()
        self.start()

    def check(self) -> None:
        """Hold the account against itself and against what was put in."""
        health = self.outbox.health()
        dropped = sum(health.dropped.values())
        assert health.accepted == health.delivered + health.stored + health.waiting + dropped, health
        assert min(health.delivered, health.stored, health.waiting, health.bytes) >= 0, health
        if not self.found_late:
            assert health.accepted == self.found + self.put_count, health
        if not self.disk.broken and self.writer.fault is None:
            on_disk = self.disk.rows.get("p", {})
            assert health.stored == len(on_disk) - len(self.outbox.deletes), health
            assert health.bytes == sum(cost("p", row) for row in on_disk.values()), health

    def finish(self) -> None:
        """Heal everything, let all be delivered, and look for what is missing."""
        self.disk.broken = self.disk.most_rows = None
        for _ in range(400):
            self.step(1.0)
            self.take(50)
            done, self.flying = self.flying, []
            for outgoing in done:
                self.subscriber.receive(outgoing.payload)
            self.outbox.settle([outgoing.ticket for outgoing in done])
            self.acknowledge()
            health = self.outbox.health()
            if self.writer.fault is None and not (health.stored or health.waiting or self.outbox.deletes):
                break
        self.check()
        assert (health.stored, health.waiting) == (0, 0), health
        assert self.disk.rows.get("p", {}) == {}
        told = {(gap.stream, gap.boot, seq) for gap in self.announced for seq in range(gap.first, gap.last + 1)}
        assert self.safe - self.subscriber.have - told - self.died_unsaid == set()

    def _on_gap(self, gaps: list[Gap]) -> None:
        self.announced += gaps
        self.subscriber.told(gaps)
