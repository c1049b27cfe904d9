"""What runs at a place: reads a job from its working folder, does it, and writes the answer there.

It is packed with the modules it needs (bundle.py) and asks for nothing but Python, numpy and onnxruntime.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import exchange
from benchmarks.environment import observed
from benchmarks.exchange import Machine
from benchmarks.latency import Plan, Run, clock_for, compare
from devices.errors import EdgeoptError
from devices.host import detect
from devices.memory import peak_resident_bytes
from edge_runtime.inference import engines
from edge_runtime.inference.batch import batch_size_of, count_samples, run_all
from edge_runtime.inference.engine import Array, Engine
from edge_runtime.inference.ort import SessionSettings, version

Job = Mapping[str, Any]

_AT_A_TIME = 32  # samples between two signs of life
_ASK_MEMORY = "memory"


def main(arguments: Sequence[str]) -> None:
    """Do the job of the file named first; with ``memory N`` behind it tell what form N alone needs."""
    job = exchange.from_json(Path(arguments[0]).read_bytes())
    if arguments[1:2] == [_ASK_MEMORY]:
        _print_memory(job, int(arguments[2]))
        return
    Path(exchange.MACHINE).write_bytes(exchange.to_json(machine(job)))
    answer = _TASKS[job["task"]](job)
    Path(exchange.ANSWER).write_bytes(exchange.to_json(answer))


def machine(job: Job) -> Machine:
    """Return what this place is."""
    others = {form["engine"] for form in job["forms"]} - {engines.DEFAULT}
    found = {name: installed for name in sorted(others) if (installed := _installed(name))}
    return Machine(detect(), platform.python_version(), np.__version__, version(), found)


def _installed(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _facts(_job: Job) -> dict[str, Any]:
    return {}


def _outputs(job: Job) -> dict[str, Any]:
    """Run every form on all samples; what each came to is on disk before the next begins, whatever that does."""
    forms = job["forms"]
    total, done = sum(form["samples"] for form in forms), sum(form["samples"] for form in forms[: job["first"]])
    for index in range(job["first"], len(forms)):
        _say(exchange.FORM_LINE, index)
        progress = partial(_progress_behind, done, total)
        Path(exchange.outcome_file(index)).write_bytes(exchange.to_json(_outcome(job, index, progress)))
        done += forms[index]["samples"]
        _progress(done, total)
    return {}


def _outcome(job: Job, index: int, progress: Callable[[int], None]) -> dict[str, str]:
    """Write a form's outputs, or return why there are none."""
    try:
        outputs = _run(_load(job, index), _inputs(job, index), job["forms"][index]["batch"], progress)
        Path(exchange.arrays_file("outputs", index)).write_bytes(exchange.pack_arrays(outputs))
    except EdgeoptError as error:
        return {"failed": error.message}
    except MemoryError:
        return {"failed": "there is not enough memory for it"}
    except (AttributeError, TypeError, ValueError) as error:
        # Outputs that are no arrays (lists of tables) or hold text: they can be neither joined nor compared.
        return {"failed": f"its outputs are no arrays of numbers: {error}"}
    return {}


def _run(engine: Engine, feeds: Mapping[str, Array], batch: int, progress: Callable[[int], None]) -> dict[str, Array]:
    """Run all samples, a multiple of the batch at a time, so that the batches are those of one go."""
    if len({len(array) for array in feeds.values() if array.ndim}) != 1:
        return run_all(engine, feeds, batch)
    step = batch_size_of(engine, batch)
    step *= max(1, _AT_A_TIME // step)
    parts: dict[str, list[Array]] = {}
    for start in range(0, count_samples(feeds), step):
        part = {name: array[start : start + step] if array.ndim else array for name, array in feeds.items()}
        for name, output in run_all(engine, part, batch).items():
            parts.setdefault(name, []).append(output)
        progress(start + count_samples(part))
    return {name: np.concatenate(some) for name, some in parts.items()}


def _timed(job: Job) -> dict[str, Any]:
    """Time the forms against each other, interleaved; before that see what each needs in a process of its own."""
    forms = job["forms"]
    memory = [_memory_of(index) for index in range(len(forms))]
    runs = []
    for index, form in enumerate(forms):
        _say(exchange.FORM_LINE, index)
        try:
            runs.append(_bind(_load(job, index), _inputs(job, index)))
            runs[-1]()
        except (EdgeoptError, MemoryError) as error:
            what = error.message if isinstance(error, EdgeoptError) else "there is not enough memory for it"
            return {"failed": what, "form": form["name"]}
    with observed() as environment:
        comparison = compare(runs, Plan(**job["plan"]), progress=_progress, clock=_clock(forms))
    return {
        "comparison": comparison,
        "before": environment.before,
        "after": environment.after,
        "memory": {form["name"]: peak for form, peak in zip(forms, memory, strict=True) if peak is not None},
    }


def _clock(forms: Sequence[Mapping[str, Any]]) -> Callable[[], int]:
    """Return the clock for these forms; of other engines it is not known whether they work in the calling thread."""
    one_thread = all(form["engine"] == engines.DEFAULT and form["settings"]["threads"] == 1 for form in forms)
    return clock_for(1) if one_thread else time.perf_counter_ns


def _memory_of(index: int) -> int | None:
    """Return the peak memory of a process that loads this form alone and runs it once, None where it ends otherwise."""
    ended = subprocess.run(
        [sys.executable, sys.argv[0], exchange.JOB, _ASK_MEMORY, str(index)], capture_output=True, check=False
    )
    text = ended.stdout.decode().strip()
    return int(text) if ended.returncode == 0 and text.isdecimal() else None


def _print_memory(job: Job, index: int) -> None:
    try:
        _load(job, index).run(_inputs(job, index))
    except (EdgeoptError, MemoryError):
        return  # the job itself says so
    sys.stdout.write(str(peak_resident_bytes() or ""))


def _load(job: Job, index: int) -> Engine:
    form = job["forms"][index]
    model = Path(exchange.model_file(form["model"])).read_bytes()
    return engines.load(form["engine"], model, SessionSettings(**form["settings"]))


def _inputs(job: Job, index: int) -> dict[str, Array]:
    file = exchange.arrays_file("inputs", job["forms"][index]["inputs"])
    return exchange.unpack_arrays(Path(file).read_bytes())


def _bind(engine: Engine, feeds: Mapping[str, Array]) -> Run:
    return lambda: engine.run(feeds)


def _progress_of(before: int, total: int, done: int) -> None:
    _progress(before + done, total)


def _progress_behind(before: int, total: int, done: int) -> None:
    _progress(before + done, total)


def _progress(done: int, total: int) -> None:
    _say(exchange.PROGRESS_LINE, done, total)


def _say(*words: object) -> None:
    sys.stderr.write(" ".join(map(str, words)) + "\n")
    sys.stderr.flush()


_TASKS: dict[str, Callable[[Job], dict[str, Any]]] = {"facts": _facts, "outputs": _outputs, "timed": _timed}
