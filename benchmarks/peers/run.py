"""One model through all tools: made, scored, and timed together."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.latency import Interval
from benchmarks.peers import environments, ours, process
from benchmarks.peers.results import COPY, FLOAT32, OURS, Row, Table
from benchmarks.peers.work import Work
from devices.host import int8_dot_products_saturate
from edge_runtime.inference import engines

CHILD = Path(__file__).with_name("child.py")
CHILD_SECONDS = 900.0
# What other tools' users get by default where uint8 x int8 sums saturate; edgeopt serves with exact sums there.
SATURATING = {"session.x64quantprecision": "0"}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Setup:
    """How to run.

    Attributes:
        tools: Names of other tools, and `edgeopt`.
        environments: Folder of the tools' environments.
        timeout: Seconds for one tool and one model.
        rounds: Timed slots per form and process.
        processes: How many fresh processes time everything anew.
    """

    tools: tuple[str, ...]
    environments: Path
    timeout: float = 900.0
    rounds: int = 41
    processes: int = 3


@dataclass(frozen=True)
class Form:
    """A row under way and the file of its model; None where none was made."""

    row: Row
    model: Path | None


@dataclass(frozen=True)
class Machine:
    """Where the times were taken: in words, onnxruntime's version, and what casts doubt on them."""

    name: str
    onnxruntime: str
    doubts: tuple[str, ...]


def run(work: Work, setup: Setup, folder: Path, say: Say) -> tuple[Table, Machine]:
    """Return all rows of one model. A tool that fails has a row with the reason.

    Args:
        work: The model.
        setup: How to run.
        folder: An empty folder; all files go there.
        say: Called with what is being done.

    Raises:
        RuntimeError: the model itself cannot be read, scored or timed.
    """
    wanted = [str(work.model.resolve()), str(work.calibration.resolve()), str(folder)]
    if work.judge:
        wanted.append(str(work.evaluation.resolve()))
    _check(_module("prepare", wanted, folder), work.name)
    model, samples = folder / "model.onnx", folder / "samples.npz"
    float32 = Form(Row(FLOAT32, size=model.stat().st_size), model)
    forms = [float32, replace(float32, row=replace(float32.row, tool=COPY))]
    for tool in setup.tools:
        say(f"{work.name}: {tool}")
        made = _ours(work, setup, samples, folder) if tool == OURS else _peer(tool, setup, model, samples)
        forms += _sessions(made)
    say(f"{work.name}: scoring")
    forms = [replace(form, row=_scored(form, work, model, folder)) for form in forms]
    say(f"{work.name}: timing {sum(form.model is not None for form in forms)} forms, interleaved")
    rows, machine = _timed(forms, setup, samples, work.name)
    if rows[0].metric is None or not rows[0].speedups:
        raise RuntimeError(f"{work.name}: the float32 model: {rows[0].reason}")
    table = Table(work.name, work.metric, work.worst(rows[0].metric), work.higher_is_better, tuple(rows))
    return table, machine


def _peer(tool: str, setup: Setup, model: Path, samples: Path) -> Form:
    """Let a tool work on its own copy of the model, in its own folder and home."""
    module = importlib.import_module(f"benchmarks.peers.tools.{tool}")
    engine = getattr(module, "ENGINE", engines.DEFAULT)
    if install := engines.available()[engine]:
        return Form(Row(tool, reason=f"{engine} is not installed here: {install}", engine=engine), None)
    environment = environments.provide(getattr(module, "ENVIRONMENT", tool), module.REQUIREMENTS, setup.environments)
    if environment.reason:
        return Form(Row(tool, reason=environment.reason, engine=engine), None)
    folder = model.parent / tool
    folder.mkdir()
    copy, output = folder / "model.onnx", folder / "quantized.onnx"
    shutil.copyfile(model, copy)
    command = [str(environment.python), "-I", str(CHILD), tool, str(copy), str(samples), str(output)]
    ended = process.run(command, folder, setup.timeout, {"HOME": str(folder), "TMPDIR": str(folder)})
    version = output.with_name(f"{output.name}.version")
    row = Row(
        tool,
        version=version.read_text("utf-8") if version.is_file() else "",
        seconds=ended.seconds,
        peak_bytes=ended.peak_bytes,
        engine=engine,
    )
    return _made(row, ended, output)


def _ours(work: Work, setup: Setup, samples: Path, folder: Path) -> Form:
    output = folder / OURS / "quantized.onnx"
    output.parent.mkdir()
    made = ours.quantize(work, samples, output, setup.timeout)
    row = Row(
        OURS,
        version=f"edgeopt {metadata.version('edgeopt')}",
        session=made.session,
        engine=made.engine,
        seconds=made.ended.seconds,
        peak_bytes=made.ended.peak_bytes,
        note=made.note,
    )
    return _made(row, made.ended, output)


def _made(row: Row, ended: process.Ended, output: Path) -> Form:
    """Return the form with its file, or the row that says why there is none."""
    reason = ended.reason or (None if output.is_file() else "it wrote no model")
    if reason:
        return Form(replace(row, reason=reason), None)
    weights = output.with_name(f"{output.name}.data")  # some tools keep weights beside the model
    size = output.stat().st_size + (weights.stat().st_size if weights.is_file() else 0)
    return Form(replace(row, size=size), output)


def _sessions(form: Form) -> list[Form]:
    """Return another tool's form in each session that its user could choose; the faster inside the budget counts."""
    if form.model is None or not form.row.is_peer or form.row.engine != engines.DEFAULT:
        return [form]
    if not int8_dot_products_saturate():
        return [form]
    return [form, replace(form, row=replace(form.row, session=SATURATING))]


def _scored(form: Form, work: Work, reference: Path, folder: Path) -> Row:
    """Return the row with its metric, or with the reason why it has none."""
    if form.model is None:
        return form.row
    asked = {
        "model": str(form.model),
        "session": form.row.session,
        "engine": form.row.engine,
        "judge": str(work.judge.resolve()) if work.judge else None,
        "metric": work.metric,
        "reference": str(reference),
        "evaluation": str(folder / "evaluation.npz" if work.judge else work.evaluation.resolve()),
    }
    ended = _module("score", [json.dumps(asked)], folder)
    printed = re.findall(rf"\b{work.figure} (\S+)", ended.output) if ended.status == 0 else []
    if not printed:
        return replace(form.row, reason=f"not scored: {ended.reason or 'no figure was printed'}")
    return replace(form.row, metric=float(printed[-1]))


def _timed(forms: Sequence[Form], setup: Setup, samples: Path, name: str) -> tuple[list[Row], Machine]:
    """Time all forms that there are in one interleaved comparison, anew in every process."""
    rows = [form.row for form in forms]
    present = [index for index, form in enumerate(forms) if form.model is not None]
    doubts: list[str] = []
    report: dict[str, Any] = {}
    for seed in range(setup.processes):
        asked = {
            "forms": [
                {"model": str(forms[index].model), "session": rows[index].session, "engine": rows[index].engine}
                for index in present
            ],
            "samples": str(samples),
            "rounds": setup.rounds,
            "seed": seed,
        }
        ended = _module("timing", [json.dumps(asked)], samples.parent)
        _check(ended, name)
        report = json.loads(ended.output.splitlines()[-1])
        doubts += report["doubts"]
        for index, found in zip(present, report["forms"], strict=True):
            rows[index] = _with_timing(rows[index], found)
    return rows, Machine(report["machine"], report["onnxruntime"], distinct(doubts))


def distinct(doubts: Iterable[str]) -> tuple[str, ...]:
    """Return each kind of doubt once, with its first numbers."""
    kinds: dict[str, str] = {}
    for doubt in doubts:
        kinds.setdefault(re.sub(r"[\d.]+", "#", doubt), doubt)
    return tuple(kinds.values())


def _with_timing(row: Row, found: dict[str, Any]) -> Row:
    if "speedup" not in found:
        return replace(row, reason=f"does not run: {found['reason']}")
    speedups = (*row.speedups, Interval(**found["speedup"]))
    return replace(row, speedups=speedups, milliseconds=(*row.milliseconds, found["milliseconds"]["value"]))


def _module(name: str, arguments: list[str], folder: Path) -> process.Ended:
    """Run a module of this package in a process of its own."""
    root = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-m", f"benchmarks.peers.{name}", *arguments]
    return process.run(command, folder, CHILD_SECONDS, {"PYTHONPATH": root})


def _check(ended: process.Ended, name: str) -> None:
    if ended.reason:
        raise RuntimeError(f"{name}: {ended.reason}")
