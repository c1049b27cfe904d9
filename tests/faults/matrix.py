"""All rows of the fault matrix, and how one is run."""

from __future__ import annotations

import shutil
import traceback
from pathlib import Path

from faults import broker_faults, clock, disk, kills, link, outage, power, readings, resources, second, soak
from faults.result import Bench, Result, Row

_GROUPS = (kills, power, broker_faults, outage, link, disk, clock, readings, resources, soak, second)
ROWS: dict[str, Row] = {name: row for group in _GROUPS for name, row in group.ROWS.items()}


def run_row(row: str, folder: Path, seed: int, scale: float) -> Result:
    """Run one row in a folder of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        return ROWS[row](Bench(folder, seed, scale))
    except Exception as error:  # noqa: BLE001 - one row that breaks must not end the others, nor pass
        where = "".join(traceback.format_exception(error)[-3:])
        return Result(row, "broke off", 0, seed, problems=[f"the row itself broke off: {where}"])
