"""Run the fault matrix and write its report: ``python tests/faults/run.py --all --report FAULTS.md``."""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from faults.matrix import ROWS, run_row
from faults.result import Result, report


def main() -> int:
    """Run the rows asked for; exit status 1 where one failed."""
    parser = argparse.ArgumentParser(description="Do faults to real daemons and brokers and account for every reading.")
    parser.add_argument("--all", action="store_true", help="every row")
    parser.add_argument("--only", default="", help="these rows, F01,F13; F01 takes F01-e2e along")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the published repeats, such as 0.1")
    parser.add_argument("--seed", type=int, default=None, help="for all random choices; default: a new one")
    parser.add_argument("--report", type=Path, help="the report, Markdown; written after every row")
    parser.add_argument("--keep", type=Path, help="folder for logs and databases, kept; default: temporary")
    arguments = parser.parse_args()
    wanted = _wanted(arguments.only.split(",") if arguments.only else [], everything=arguments.all)
    if not wanted:
        parser.error(f"nothing to run: --all, or --only with some of {', '.join(ROWS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that brokers and daemons are taken down
    seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 31)
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        for row in wanted:
            begin = time.monotonic()
            result = run_row(row, folder / row, seed, arguments.scale)
            result.seconds = time.monotonic() - begin
            results.append(result)
            _say(result)
            given = {"scale": arguments.scale, "seed": seed, "load average at the end": f"{os.getloadavg()[0]:.2f}"}
            if arguments.report:
                arguments.report.write_text(report(results, given), encoding="utf-8")
    return int(any(one.problems for one in results))


def _wanted(names: list[str], *, everything: bool) -> list[str]:
    return [row for row in ROWS if everything or row in names or row.partition("-")[0] in names]


def _say(result: Result) -> None:
    numbers = ", ".join(f"{name} {value}" for name, value in result.numbers.items())
    sys.stdout.write(f"{result.row:14} {result.word:8} {result.seconds:5.0f} s  {result.title}\n")
    sys.stdout.write(f"{'':14} {result.not_run or numbers}\n")
    sys.stdout.writelines(f"{'':14} ! {problem}\n" for problem in result.problems)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
