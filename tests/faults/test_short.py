"""A short set of the fault matrix; the whole of it is ``python tests/faults/run.py --all --report FILE.md``."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from faults.disk import damages
from faults.kills import crash_points
from faults.matrix import ROWS, run_row
from faults.result import Result, report
from faults.soak import slope_mib

SEED = 5
SCALE = 0.004
SHORT = ("F01", "F07", "F17", "F31", "F38")


@pytest.mark.parametrize("row", SHORT)
def test_a_row_passes_with_few_repeats(needs_mosquitto: None, tmp_path: Path, row: str) -> None:
    """Real daemon, real broker, real fault: nothing acknowledged is lost, and what is promised beyond that holds."""
    result = run_row(row, tmp_path / row, SEED, SCALE)
    assert (result.problems, result.not_run) == ([], None), result.numbers


def test_the_report_says_what_failed_and_what_did_not_run() -> None:
    """One line for each row, problems in words, versions and seeds."""
    good, bad = Result("F01", "kill", 2, 7, numbers={"lost": 0}), Result("F02", "crash", 1, 7, problems=["lost 1"])
    absent = Result("F04", "power", 1, 7, not_run="needs root")
    text = report([good, bad, absent], {"scale": 0.1})
    assert "1 passed, 1 failed, 1 not run" in text
    assert "| F01 | kill | 2 | 7 | 0 | pass | lost 0 |" in text
    assert "| F04 | power | 1 | 7 | 0 | not run | needs root |" in text
    assert "## F02 failed\n\n* lost 1" in text
    assert "* scale: 0.1" in text


def test_every_row_of_the_matrix_is_there() -> None:
    """The rows of docs/faults.md, each under its name."""
    wanted = {*range(1, 5), *range(6, 22), 24, 26, 31, 34, 35, 36, 38}
    assert {int(name[1:3]) for name in ROWS} == wanted


def test_crash_points_are_found_in_the_source(tmp_path: Path) -> None:
    """By name, however the call is written."""
    (tmp_path / "one.py").write_text('crash_point("a.before")\ncrash_point(\n    "b.after"\n)\n', encoding="utf-8")
    assert crash_points(tmp_path) == ["a.before", "b.after"]


def test_every_page_of_a_file_is_damaged_once(tmp_path: Path) -> None:
    """A bit for each 4 KiB, four lengths, and the file gone."""
    file = tmp_path / "file"
    file.write_bytes(bytes(10_000))
    found = damages([file], random.Random(1))
    assert [what for what, _, _ in found] == [*["flip"] * 3, *["cut"] * 4, "remove"]
    assert [where // 4096 for what, _, where in found if what == "flip"] == [0, 1, 2]
    assert [where for what, _, where in found if what == "cut"] == [0, 1, 5000, 9999]


def test_the_slope_of_memory_is_over_the_whole_run() -> None:
    """A rise of 10 MiB is a rise of 10 MiB, a flat line is none."""
    assert slope_mib([(0, 50.0), (50, 55.0), (100, 60.0)]) == pytest.approx(10.0)
    assert slope_mib([(0, 50.0), (50, 50.0), (100, 50.0)]) == 0.0
