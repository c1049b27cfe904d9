"""All rows of the fault matrix, and how one is run."""

from __future__ import annotations

import shutil
from pathlib import Path

from faults import broker_faults, clock, disk, kills, link, outage, power, readings, resources, second, soak
from faults.result import Bench, Result, Row

_GROUPS = (kills, power, broker_faults, outage, link, disk, clock, readings, resources, soak, second)
ROWS: dict[str, Row] = {name: row for group in _GROUPS for name, row in group.ROWS.items()}


def run_row(row: str, folder: Path, seed: int, scale: float) -> Result:
    """Run one row in a folder of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return ROWS[row](Bench(folder, seed, scale))
