"""`python -m benchmarks.daemon_load`: the daemon under load beside the script that one would write instead.

Needs a mosquitto, which it starts for itself. Exit status 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path

from benchmarks.load import broker, nodered, run, scale, scenario, table
from benchmarks.load.programs import PROGRAMS
from benchmarks.load.run import Plan, Slot
from devices.host import conditions, detect
from edge_runtime.errors import EdgeoptError

_QUICK = Plan(rounds=2, closed=0.7, paced=1.0, rest=2.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for, print it, and return 0 where every goal is met, 1 where one is not."""
    parser = _parser()
    options = parser.parse_args(arguments)
    known = [load.name for load in scenario.scenarios()]
    if options.loads and not set(options.loads.split(",")) <= set(known):
        parser.error(f"--loads takes some of {','.join(known)}")
    plan = _QUICK if options.quick else Plan(closed=options.seconds)
    plan = replace(plan, rounds=options.rounds or plan.rounds)
    try:
        before = conditions().load_average
        text, slots, judged = _scaled(options, plan) if options.processes else _compared(options, plan)
        about = _about(before, plan)
    except EdgeoptError as error:
        sys.stderr.write(f"error: {error.code}: {error.message}\nnext: {error.fix}\n")
        return error.exit_status
    heading = f"{about}\n\n" if options.markdown else ""
    sys.stdout.write(f"{heading}{text}\n" + ("" if options.markdown else f"\n{about}\n"))
    if options.json:
        found = {"about": about, "plan": asdict(plan), "slots": [asdict(slot) for slot in slots]}
        found["verdicts"] = [asdict(each) for each in judged]
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(any(each.holds is False for each in judged))


def _compared(options: argparse.Namespace, plan: Plan) -> tuple[str, list[Slot], list[table.Verdict]]:
    known = scenario.scenarios()
    loads = [load for load in known if not options.loads or load.name in options.loads.split(",")]
    node_red = nodered.find(options.node_modules)
    here = dict(PROGRAMS) if isinstance(node_red, str) else {**PROGRAMS, "node-red": node_red}
    absent = {"node-red": node_red} if isinstance(node_red, str) else {}
    slots = run.run(loads, here, plan, _tell)
    judged = table.verdicts(slots)
    parts = (table.markdown(slots, loads, absent), table.busy(slots), table.verdict_table(judged))
    return "\n\n".join(parts), slots, judged


def _scaled(options: argparse.Namespace, plan: Plan) -> tuple[str, list[Slot], list[table.Verdict]]:
    counts = [int(word) for word in options.processes.split(",")]
    load = next(load for load in scenario.scenarios() if load.window == 1 and load.qos == options.qos)
    slots = scale.run(load, counts, plan, _tell)
    judged = [table.complete(slots)]
    return f"{load.title}\n\n{table.scale_table(slots)}\n\n{table.verdict_table(judged)}", slots, judged


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _about(before: float | None, plan: Plan) -> str:
    """Return what a reader must know of the figures."""
    date = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("onnxruntime", "paho-mqtt", "numpy"))
    return (
        f"**measured** {date} on {detect()}; {broker.version()} on loopback, Python {platform.python_version()}, "
        f"{versions}; {plan.rounds} rounds in shuffled order, median [smallest to largest]; CPU is that of the program "
        "alone, while broker and generator ran on the same cores; load average "
        f"{_load(before)} before, {_load(conditions().load_average)} after (the test itself included)."
    )


def _load(average: float | None) -> str:
    return "unknown" if average is None else f"{average:.1f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.daemon_load", description=__doc__)
    parser.add_argument("--rounds", type=int, help=f"slots of each program and load (default: {Plan().rounds})")
    seconds = "at the highest rate, without --quick (%(default)s)"
    parser.add_argument("--seconds", type=float, default=Plan().closed, help=seconds)
    parser.add_argument("--loads", metavar="A,B", help="of mlp-qos0, mlp-qos1, cnn-qos0 (default: all)")
    parser.add_argument("--quick", action="store_true", help="2 short rounds: a look, no evidence")
    parser.add_argument("--processes", metavar="1,2,4", help="instead: so many daemons on one shared subscription")
    parser.add_argument("--qos", type=int, choices=(0, 1), default=0, help="with --processes (default: 0)")
    parser.add_argument("--node-modules", type=Path, help="folder with node-red and onnxruntime-node (npm root -g)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    parser.add_argument("--markdown", action="store_true", help="print the section for docs/benchmarks.md")
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # end the programs under test as well
    sys.exit(main())
