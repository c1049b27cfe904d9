"""Exchanges a damaged outbox for the one rebuilt from it, so that a crash anywhere between loses neither."""

from __future__ import annotations

from pathlib import Path

from edge_runtime.crash_points import crash_point
from edge_runtime.files import sync_folder

KEPT = 2  # damaged files kept for whoever wants to look; each may be as large as the bound


def replace_damaged(path: Path) -> None:
    """Set the damaged file aside as ``outbox.corrupt-N`` and put the finished ``outbox.rebuilt`` in its place."""
    numbers = sorted(_numbers(path))
    aside = path.with_suffix(f".corrupt-{numbers[-1] + 1 if numbers else 1}")
    crash_point("outbox.rename.before")
    path.replace(aside)
    crash_point("outbox.rename.after")
    finish_interrupted(path)
    for number in numbers[: len(numbers) + 1 - KEPT]:
        path.with_suffix(f".corrupt-{number}").unlink(missing_ok=True)
        path.with_suffix(f".corrupt-{number}-wal").unlink(missing_ok=True)


def finish_interrupted(path: Path) -> None:
    """Finish an exchange that has begun, which shows in that the database is missing and the rebuilt one is there."""
    rebuilt, log = path.with_suffix(".rebuilt"), path.with_name(path.name + "-wal")
    if path.exists() or not rebuilt.exists():
        return
    if log.exists():  # of the damaged file: SQLite must not replay it into the new one
        log.replace(path.with_suffix(f".corrupt-{max(_numbers(path), default=1)}-wal"))
    sync_folder(path.parent)
    rebuilt.replace(path)
    sync_folder(path.parent)


def _numbers(path: Path) -> set[int]:
    names = (file.name.removeprefix(f"{path.stem}.corrupt-") for file in path.parent.glob(f"{path.stem}.corrupt-*"))
    return {int(name) for name in names if name.isdigit()}
