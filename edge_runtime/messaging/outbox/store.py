"""The outbox on disk: one SQLite file per daemon, a table per pipeline, used by one thread at a time."""

from __future__ import annotations

import errno
import itertools
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.crash_points import crash_point
from edge_runtime.errors import Refused
from edge_runtime.files import sync_folder
from edge_runtime.messaging.outbox.quarantine import finish_interrupted, replace_damaged
from edge_runtime.messaging.outbox.row import ROW_OVERHEAD, Change, Contents, Row, checksum, ticket_base
from edge_runtime.messaging.outbox.salvage import PAGE, log_is_damaged, salvage
from edge_runtime.messaging.outbox.schema import check_schema, means_damage, raise_if_busy

CRASH_POINTS = tuple(
    f"outbox.{step}.{when}"
    for step in ("begin", "insert", "delete", "commit", "checkpoint", "recovery", "quarantine", "rename")
    for when in ("before", "after")
)

_CHECKPOINT_BYTES = 4 << 20
_SETTINGS = (
    f"page_size = {PAGE}",
    "locking_mode = EXCLUSIVE",
    "journal_mode = WAL",
    "synchronous = FULL",
    "wal_autocheckpoint = 0",
    f"journal_size_limit = {_CHECKPOINT_BYTES}",
)
_RESERVE_BYTES = 512 << 10  # kept free for deleting, and for the rows of one transaction
_SALVAGED_AT_ONCE = 1000
_COLUMNS = "pipeline TEXT, stream TEXT, boot TEXT, sequence INTEGER, topic TEXT, payload BLOB, at INTEGER, crc INTEGER"


class Store:
    """The file. Every row carries a checksum of its own, as SQLite does not notice rotten bits inside a row.

    Args:
        path: The database; its folder exists.

    Attributes:
        written_bytes: Bytes written: the log's growth, and at each checkpoint the pages copied, counted generously.
        commits: Transactions done.
        rebuilt: Times the file was found damaged, set aside and rebuilt from what could be read.
        uncertain: Whether the latest failure left open if the transaction was done.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._database: sqlite3.Connection | None = None
        self._tables: dict[str, str] = {}
        self._log_size = 0
        self.written_bytes = self.commits = self.rebuilt = 0
        self.uncertain = False
        self._damaged = False

    def open(self) -> dict[str, Contents]:
        """Open, make or repair the file.

        Raises:
            Refused: E-OUTBOX-SCHEMA, a newer edge-runtime wrote it.
            EnvironmentFault: E-OUTBOX-BUSY, another process has it open.
            sqlite3.Error: It cannot be used for now: disk full, read-only, input/output error.
        """
        self.close()
        finish_interrupted(self._path)
        if not self._damaged:
            try:
                return self._opened()
            except sqlite3.DatabaseError as error:
                raise_if_busy(error, self._path)
                if not means_damage(error):
                    raise
        self._rebuild()
        self._damaged = False
        return self._opened()

    def apply(self, changes: Sequence[Change]) -> None:
        """Delete and insert in one transaction; durable on return.

        Where the file system has no room for rows, what is settled is deleted all the same: so room comes back.

        Raises:
            sqlite3.Error: Nothing was done, or, where `uncertain`, perhaps something; the store is to be closed.
            OSError: The same.
        """
        database = self._in_use()
        self.uncertain = False
        if any(change.rows for change in changes) and not self._has_room(database):
            self._transact(database, [Change(change.pipeline, [], change.settled) for change in changes])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._transact(database, changes)
        if self._log_size > _CHECKPOINT_BYTES:
            self._checkpoint(database)
        self.uncertain = False

    def _transact(self, database: sqlite3.Connection, changes: Sequence[Change]) -> None:
        for change in changes:
            self._table(change.pipeline)
        crash_point("outbox.begin.before")
        database.execute("BEGIN IMMEDIATE")
        crash_point("outbox.begin.after")
        for change in changes:
            table = self._table(change.pipeline)
            crash_point("outbox.delete.before")
            database.executemany(f"DELETE FROM {table} WHERE id = ?", ((ticket,) for ticket in change.deletes))  # noqa: S608
            crash_point("outbox.delete.after")
            crash_point("outbox.insert.before")
            self._insert(database, table, change)
            crash_point("outbox.insert.after")
        crash_point("outbox.commit.before")
        self.uncertain = True
        database.execute("COMMIT")
        crash_point("outbox.commit.after")
        self.commits += 1
        self._count_log()

    def _has_room(self, database: sqlite3.Connection) -> bool:
        """Tell whether the log could be copied into the database and there were still room to delete rows."""
        if self._free_bytes() > self._log_size + _RESERVE_BYTES:
            return True
        if self._log_size:
            self._checkpoint(database)
        return self._free_bytes() > _RESERVE_BYTES

    def _free_bytes(self) -> int:
        volume = os.statvfs(self._path.parent)
        return volume.f_bavail * volume.f_frsize

    def page(self, pipeline: str, after: int, upto: int, limit: int) -> tuple[list[Row], list[int]]:
        """Return the next rows by ticket and the tickets of damaged ones."""
        table = self._tables.get(pipeline)
        if table is None:
            return [], []
        query = f"SELECT id, stream, boot, sequence, topic, payload, at, crc FROM {table} WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"  # noqa: S608, E501
        rows, damaged = [], []
        for *values, crc in self._in_use().execute(query, (after, upto, limit)):
            row = Row(*values)
            if _is_sound(pipeline, row, crc):
                rows.append(row)
            else:
                damaged.append(row.ticket)
        return rows, damaged

    def tickets(self, pipeline: str) -> set[int]:
        """Return the tickets of all rows of a pipeline."""
        table = self._tables.get(pipeline)
        return {ticket for (ticket,) in self._in_use().execute(f"SELECT id FROM {table}")} if table else set()  # noqa: S608

    def contents(self, pipeline: str) -> Contents:
        """Count a pipeline's rows."""
        table = self._tables.get(pipeline)
        if table is None:
            return Contents(last=ticket_base())
        sizes = f"{ROW_OVERHEAD} + length(pipeline) + length(stream) + length(boot) + length(topic) + length(payload)"
        query = f"SELECT count(*), coalesce(sum({sizes}), 0), coalesce(max(id), 0) FROM {table}"  # noqa: S608
        rows, size, last = self._in_use().execute(query).fetchone()
        return Contents(rows, size, max(last, ticket_base()))

    def distrust(self, error: Exception) -> None:
        """Rebuild at the next `open` where an error in use means damage."""
        self._damaged = isinstance(error, sqlite3.DatabaseError) and means_damage(error)

    def close(self) -> None:
        """Let go of the file; after a clean close there is no log left."""
        database, self._database = self._database, None
        if database is not None:
            self._tables = {}
            database.close()

    def _opened(self) -> dict[str, Contents]:
        try:
            self._connect()
            return {name: self.contents(name) for name in self._tables}
        except (sqlite3.Error, OSError, Refused):
            self.close()
            raise

    def _connect(self) -> None:
        unclean = self._log.exists() and self._log.stat().st_size > 0
        if unclean:
            crash_point("outbox.recovery.before")
            # SQLite takes an empty database for a new one, and throws its log away.
            if self._path.stat().st_size < PAGE or log_is_damaged(self._log):
                raise sqlite3.DatabaseError("the database or its write-ahead log is damaged")
        database = sqlite3.connect(self._path, isolation_level=None, timeout=0.0, check_same_thread=False)
        self._database = database
        database.text_factory = _lenient_text
        for setting in _SETTINGS:
            database.execute(f"PRAGMA {setting}")
        check_schema(database, self._path)
        if unclean:
            verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            crash_point("outbox.recovery.after")
        sync_folder(self._path.parent)
        names = database.execute("SELECT number, name FROM pipeline")
        self._tables = {name: f"entry_{number}" for number, name in names}
        self._log_size = self._log.stat().st_size if self._log.exists() else 0

    def _rebuild(self) -> None:
        """Write what can be read into a new file, set the damaged one aside, and put the new one in its place."""
        crash_point("outbox.quarantine.before")
        fresh = Store(self._path.with_suffix(".rebuilt"))
        fresh.discard()
        fresh._opened()
        found = salvage(self._path, self._log)
        while batch := list(itertools.islice(found, _SALVAGED_AT_ONCE)):
            changes: dict[str, Change] = {}
            for pipeline, row in batch:
                changes.setdefault(pipeline, Change(pipeline, [], [])).rows.append(row)
            fresh.apply(list(changes.values()))
        fresh.finish()
        replace_damaged(self._path)
        crash_point("outbox.quarantine.after")
        self.written_bytes += fresh.written_bytes
        self.rebuilt += 1

    def finish(self) -> None:
        """Close with everything in the one file, or raise."""
        self._checkpoint(self._in_use())
        self.close()
        if self._log.exists():
            raise OSError(f"{self._log} could not be emptied")

    def discard(self) -> None:
        """Remove the file: an earlier attempt to rebuild that was not finished."""
        self._path.unlink(missing_ok=True)
        self._log.unlink(missing_ok=True)

    def _in_use(self) -> sqlite3.Connection:
        if self._database is None:
            raise sqlite3.OperationalError("the outbox is not open")
        return self._database

    def _table(self, pipeline: str) -> str:
        table = self._tables.get(pipeline)
        if table is None:
            database = self._in_use()
            number = database.execute("SELECT coalesce(max(number), 0) + 1 FROM pipeline").fetchone()[0]
            table = f"entry_{number}"
            database.execute("BEGIN IMMEDIATE")
            database.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, {_COLUMNS})")
            database.execute("INSERT INTO pipeline VALUES (?, ?)", (number, pipeline))
            database.execute("COMMIT")
            self._tables[pipeline] = table
        return table

    def _insert(self, database: sqlite3.Connection, table: str, change: Change) -> None:
        name = change.pipeline
        values = (
            (r.ticket, name, r.stream, r.boot, r.sequence, r.topic, r.payload, r.at, checksum(name, r))
            for r in change.rows
        )
        database.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608

    def _count_log(self) -> None:
        size = os.stat(self._log).st_size
        self.written_bytes += size - self._log_size
        self._log_size = size

    def _checkpoint(self, database: sqlite3.Connection) -> None:
        crash_point("outbox.checkpoint.before")
        frames = self._log_size // (PAGE + 24)
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        crash_point("outbox.checkpoint.after")
        self.written_bytes += min(frames, pages) * PAGE
        self._log_size = 0


def _is_sound(pipeline: str, row: Row, crc: object) -> bool:
    sound_types = isinstance(row.stream, str) and isinstance(row.boot, str) and isinstance(row.topic, str)
    sound_types = sound_types and isinstance(row.payload, bytes) and isinstance(row.sequence, int)
    return sound_types and checksum(pipeline, row) == crc


def _lenient_text(raw: bytes) -> str:
    return raw.decode(errors="replace")  # a flipped bit is for the checksum to find, not for the decoder
