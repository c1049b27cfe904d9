"""A process killed with SIGKILL at every named point of the outbox, and what the next one finds."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.messaging.outbox import store
from edge_runtime.messaging.outbox.store import CRASH_POINTS, Store

CHILD = Path(__file__).with_name("child.py")
WITHOUT_DAMAGE = [point for point in CRASH_POINTS if "quarantine" not in point and "rename" not in point]
WITH_DAMAGE = [point for point in CRASH_POINTS if "recovery.after" not in point and "checkpoint" not in point]


def run(folder: Path, first: int, point: str, boot: str = "b") -> tuple[int, set[int], set[int]]:
    """Run the child until it ends or dies; return its exit status, the released numbers and the settled ones."""
    environment = {**os.environ, "EDGE_CRASH_AT": point}
    ended = subprocess.run(
        [sys.executable, str(CHILD), str(folder), boot, str(first), "40"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode in {0, -signal.SIGKILL}, ended.stderr
    lines = [line.split() for line in ended.stdout.splitlines()]
    said = {word: {int(n) for line in lines if line[0] == word for n in line[1:]} for word in ("safe", "gone")}
    return ended.returncode, said["safe"], said["gone"]


def rows(folder: Path) -> list[int]:
    """Return the sequence numbers on disk."""
    opened = Store(folder / "outbox.db")
    opened.open()
    found, damaged = opened.page("p", 0, (1 << 63) - 1, 10_000)
    opened.close()
    assert damaged == []
    return [row.sequence for row in found]


@pytest.mark.parametrize("point", WITHOUT_DAMAGE)
def test_what_was_released_survives_a_kill_at_every_point(point: str, tmp_path: Path) -> None:
    """Killed there in a first run, in a second run on what the first one left, and then not killed any more."""
    safe: set[int] = set()
    gone: set[int] = set()
    # A clean start writes nothing that recovery would find, so the first run is killed somewhere first.
    for first, killed_at in ((1, "outbox.commit.after"), (101, point), (201, point)):
        _, released, settled = run(tmp_path, first, killed_at)
        safe |= released
        gone |= settled
    found = rows(tmp_path)
    assert safe - gone - set(found) == set()
    assert len(found) == len(set(found))
    status, released, settled = run(tmp_path, 301, "")
    assert status == 0
    assert (safe | released) - gone - settled - set(rows(tmp_path)) == set()


@pytest.mark.parametrize("point", WITH_DAMAGE)
def test_a_kill_while_damage_is_repaired_loses_no_more(point: str, tmp_path: Path) -> None:
    """A file whose first page is gone is rebuilt row by row, however often that is interrupted."""
    _, safe, gone = run(tmp_path, 1, "")
    assert len(safe) == 40
    with (tmp_path / "outbox.db").open("r+b") as file:
        file.write(b"\xff" * 100)
    status, *_ = run(tmp_path, 101, point)
    assert status == -signal.SIGKILL
    found = rows(tmp_path)
    assert safe - gone - set(found) == set()
    assert list(tmp_path.glob("outbox.corrupt-*")) != []
    assert len(found) == len(set(found))


def test_every_point_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that nothing calls would be tested in vain; the checkpoint comes with a log of its size only."""
    reached = set()
    monkeypatch.setattr(store, "crash_point", reached.add)
    monkeypatch.setattr("edge_runtime.messaging.outbox.quarantine.crash_point", reached.add)
    run(tmp_path, 1, "outbox.commit.after")
    opened = Store(tmp_path / "outbox.db")
    opened.open()
    opened.distrust(sqlite3.DatabaseError("malformed"))
    opened.open()
    opened.close()
    assert reached == set(CRASH_POINTS)
