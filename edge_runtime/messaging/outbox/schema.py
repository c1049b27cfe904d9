"""What the outbox's file says of itself, and what SQLite's errors mean for it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from edge_runtime.errors import EnvironmentFault, Refused

SCHEMA = 1


def check_schema(database: sqlite3.Connection, path: Path) -> None:
    """Make the schema in a new file; in an old one the version stands twice, so that a flipped bit is not a version."""
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
        database.execute("BEGIN EXCLUSIVE")
        database.execute("CREATE TABLE pipeline (number INTEGER PRIMARY KEY, name TEXT UNIQUE)")
        database.execute("CREATE TABLE version (schema INTEGER)")
        database.execute("INSERT INTO version VALUES (?)", (SCHEMA,))
        database.execute(f"PRAGMA user_version = {SCHEMA}")
        database.execute("COMMIT")
        return
    written = database.execute("SELECT max(schema) FROM version").fetchone()[0]
    if version != written:
        raise sqlite3.DatabaseError(f"it says schema {version} and schema {written}")
    if version > SCHEMA:
        raise Refused(
            "E-OUTBOX-SCHEMA",
            f"{path} was written by a newer edge-runtime: schema {version}, this one reads {SCHEMA}",
            "install that version again, let it deliver what waits, or move the file away",
        )


def raise_if_busy(error: sqlite3.DatabaseError, path: Path) -> None:
    """Say who has the file where another process does."""
    if "locked" in str(error):
        raise EnvironmentFault(
            "E-OUTBOX-BUSY",
            f"{path} is in use by another edge-runtime",
            "stop the other one, or give each its own [state] folder",
        ) from error


def means_damage(error: sqlite3.DatabaseError) -> bool:
    """Tell a damaged file from a disk that fails."""
    # Disk full, input/output error, read-only and locked are operational; so is what is missing in a damaged schema.
    return not isinstance(error, sqlite3.OperationalError) or "no such" in str(error)
