"""`python -m benchmarks.peers`: the same work through other tools, and ours beside them."""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.peers import page
from benchmarks.peers.results import OURS, Table
from benchmarks.peers.run import Machine, Setup, distinct, run
from benchmarks.peers.tools import TOOLS
from benchmarks.peers.verdict import verdicts
from benchmarks.peers.work import Work, from_assets

ASSETS = Path(__file__).resolve().parents[3] / "shared" / "assets"
ENVIRONMENTS = Path("~/.cache/edgeopt/peers")


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for, print it, and return 0 where every rule holds, 1 where one does not."""
    parser = _parser()
    options = parser.parse_args(arguments)
    works = _works(options, parser)
    setup = Setup(
        tools=_names(options.tools, (OURS, *TOOLS), "--tools", parser),
        environments=options.environments.expanduser().resolve(),
        timeout=options.timeout,
        rounds=options.rounds,
        processes=options.processes,
    )
    begin = time.monotonic()
    try:
        tables, machine = _run_all(works, setup)
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    judged = verdicts(tables) if OURS in setup.tools else []
    date = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    preamble = page.preamble(tables, machine, date, setup.processes, setup.rounds)
    if options.json:
        about = {"about": preamble, "date": date, "seconds": time.monotonic() - begin}
        options.json.write_text(json.dumps(page.as_json(tables, judged, about), indent=1) + "\n", "utf-8")
    if options.markdown:
        print(preamble, _legend(setup.tools), sep="\n\n", end="\n\n")
    print(page.markdown(tables, judged))
    if not options.markdown:
        print(f"\n{preamble}\nwhole run: {time.monotonic() - begin:.0f} s")
    return int(any(each.answer == "no" for each in judged))


def _run_all(works: list[Work], setup: Setup) -> tuple[list[Table], Machine]:
    found = []
    for work in works:
        with tempfile.TemporaryDirectory(prefix="edgeopt-peers-") as folder:
            found.append(run(work, setup, Path(folder), lambda text: print(text, file=sys.stderr, flush=True)))
    doubts = distinct(doubt for _, machine in found for doubt in machine.doubts)
    first = found[0][1]
    return [table for table, _ in found], Machine(first.name, first.onnxruntime, doubts)


def _legend(tools: tuple[str, ...]) -> str:
    modules = [(tool, importlib.import_module(f"benchmarks.peers.tools.{tool}")) for tool in tools if tool != OURS]
    return "\n".join(f"* {tool}: {module.ABOUT}" for tool, module in modules)


def _works(options: argparse.Namespace, parser: argparse.ArgumentParser) -> list[Work]:
    if options.model is None:
        known = from_assets(options.assets)
        if not known:
            parser.error(f"--assets {options.assets}: none of the public models is there; give --model and its data")
        return [known[name] for name in _names(options.models, tuple(known), "--models", parser)]
    given = (options.model, options.calibration, options.evaluation)
    if missing := [str(path) for path in given if path is None or not path.exists()]:
        parser.error(f"--model needs --calibration and --evaluation, all files that exist (not there: {missing})")
    return [Work(options.model.stem, *given, metric=options.metric, max_drop=options.max_drop)]


def _names(text: str | None, known: tuple[str, ...], option: str, parser: argparse.ArgumentParser) -> tuple[str, ...]:
    names = tuple(text.split(",")) if text else known
    if unknown := [name for name in names if name not in known]:
        parser.error(f"{option}: there is no {', '.join(unknown)}; known: {', '.join(known)}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.peers", description=__doc__)
    parser.add_argument(
        "--assets", type=Path, default=ASSETS, help="folder of the public models (default: %(default)s)"
    )
    parser.add_argument("--models", metavar="A,B", help="which of them (default: all)")
    parser.add_argument("--tools", metavar="A,B", help=f"of {', '.join((OURS, *TOOLS))} (default: all)")
    parser.add_argument("--model", type=Path, help="another ONNX model, in place of the public ones")
    parser.add_argument("--calibration", type=Path, help="its samples to calibrate with; the first 100 are used")
    parser.add_argument("--evaluation", type=Path, help="its labelled samples")
    parser.add_argument("--metric", default="agreement", help="as for `edgeopt quantize` (default: %(default)s)")
    parser.add_argument("--max-drop", default="0.3pt", help="as for `edgeopt quantize` (default: %(default)s)")
    parser.add_argument(
        "--environments",
        type=Path,
        default=ENVIRONMENTS,
        help="where the tools' environments are, made on first use (default: %(default)s)",
    )
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds for one tool and model (%(default)s)")
    parser.add_argument("--rounds", type=int, default=41, help="timed slots per form and process (%(default)s)")
    parser.add_argument("--processes", type=int, default=3, help="fresh processes to time in (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    parser.add_argument("--markdown", action="store_true", help="print the section for docs/benchmarks.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
