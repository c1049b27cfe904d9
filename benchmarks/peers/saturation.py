"""`python -m benchmarks.peers.saturation`: what x86 without VNNI computes of forms built for two targets.

A form built for x86-64-vnni and one built for x86-64-avx2 run on kernels that saturate, with and without onnxruntime's
guard: natively where this processor has no VNNI, else in a process that does not see it (hide_vnni.c, for which the
processor must be able to fault on CPUID).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.latency import Plan, compare
from benchmarks.peers import clipped_digits, process
from benchmarks.peers.work import Work, from_assets
from devices.host import detect, int8_dot_products_saturate
from edge_runtime.inference.batch import run_all
from edge_runtime.inference.engine import Array
from edge_runtime.inference.ort import GUARD, OrtEngine, SessionSettings

ASSETS = Path(__file__).resolve().parents[3] / "shared" / "assets"
_HIDING = Path(__file__).with_name("hide_vnni.c")
_SECONDS = 600.0


@dataclass(frozen=True)
class Form:
    """A form to run: its row's words, the model, and what the guard is set to ("" where the form has no say)."""

    words: str
    model: bytes
    guard: str


@dataclass(frozen=True)
class Row:
    """What came of a form.

    Attributes:
        words: What it is.
        metric: Its value.
        decibels: Signal to noise of its outputs against those of float32.
        at_risk: Layers whose sums may exceed 16 bits.
        speedup: Over float32, with the ends of the interval.
    """

    words: str
    metric: float
    decibels: float
    at_risk: int
    speedup: tuple[float, float, float]


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 where a form built for x86-64-avx2 loses more than its budget on saturating kernels."""
    parser = argparse.ArgumentParser("python -m benchmarks.peers.saturation", description=__doc__)
    parser.add_argument("--assets", type=Path, default=ASSETS, help="folder of the public models (%(default)s)")
    parser.add_argument("--rounds", type=int, default=31, help="timed rounds (%(default)s)")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        _run_child(options.child, options.rounds)
        return 0
    try:
        with tempfile.TemporaryDirectory(prefix="edgeopt-saturation-") as folder:
            return _print_tables(Path(folder), options.assets, options.rounds)
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3


def _print_tables(folder: Path, assets: Path, rounds: int) -> int:
    variables = hidden(folder)
    model, calibration, evaluation = clipped_digits.write(folder)
    digits = Work("clipped_digits", model, calibration, evaluation, metric="top1", max_drop="1pt")
    how = "a process that does not see it" if variables else "the processor has none"
    print(f"measured: {detect()}, without VNNI: {how}\n")
    kept = True
    for work in (digits, *from_assets(assets).values()):
        rows = table(work, folder, variables, rounds)
        print(f"| {work.name} | {work.metric} | SNR | layers at risk | speed-up over float32 [95 %] |")
        print("|---|---:|---:|---:|---:|")
        print(f"| float32 | {rows[0].metric:.4f} | | | |")
        for row in rows[1:]:
            speed = "{:.2f} [{:.2f}, {:.2f}]".format(*row.speedup)
            print(f"| {row.words} | {row.metric:.4f} | {row.decibels:.1f} dB | {row.at_risk} | {speed} |")
        print(flush=True)
        worst = work.worst(rows[0].metric)
        kept &= rows[-1].metric >= worst if work.higher_is_better else rows[-1].metric <= worst
    return int(not kept)


def table(work: Work, folder: Path, variables: Mapping[str, str], rounds: int) -> list[Row]:
    """Return float32's row, two of the form built for VNNI, and last that of the form built for AVX2.

    Raises:
        RuntimeError: the process in which the forms run failed.
    """
    from optimizer.saturation import saturating_layers

    score, feeds, forms = _forms(work)
    np.savez(folder / "inputs.npz", **feeds)  # type: ignore[arg-type] # numpy's stubs know no names
    settings = []
    for number, form in enumerate(forms):
        (folder / f"{number}.onnx").write_bytes(form.model)
        settings.append({GUARD: form.guard} if form.guard else {})
    (folder / "forms.json").write_text(json.dumps(settings), "utf-8")
    command = [sys.executable, "-m", "benchmarks.peers.saturation", "--rounds", str(rounds), "--child", str(folder)]
    ended = process.run(command, Path(__file__).resolve().parents[2], _SECONDS, variables)
    if ended.status != 0:
        raise RuntimeError(f"the forms of {work.name} did not run: {ended.reason}")
    speedups = json.loads((folder / "speedups.json").read_text("utf-8"))
    outputs = [dict(np.load(folder / f"outputs{number}.npz")) for number in range(len(forms))]
    return [
        Row(form.words, score(found), _decibels(outputs[0], found), len(saturating_layers(form.model)), tuple(speed))
        for form, found, speed in zip(forms, outputs, speedups, strict=True)
    ]


def _forms(work: Work) -> tuple[Callable[[dict[str, Array]], float], dict[str, Array], list[Form]]:
    """Return how outputs are scored, the samples, and the forms."""
    from devices import profile
    from edge_runtime.inference.preprocess import Preprocess
    from optimizer import metrics
    from optimizer.bases import observed
    from optimizer.cache import Cache
    from optimizer.data import load_dataset
    from optimizer.evaluate import Judge
    from optimizer.load import load_model
    from optimizer.placement import static_order, static_recipe
    from optimizer.schemes import Int8Static, schemes_for
    from optimizer.simplify import simplify
    from optimizer.workbench import Base, form

    loaded = load_model(work.model)
    calibration, data = (
        load_dataset(str(path), loaded.inputs, Preprocess()) for path in (work.calibration, work.evaluation)
    )
    engine = OrtEngine(loaded.data)
    judge = Judge.of(engine, metrics.find(work.metric), data, None)
    simple = simplify(loaded.data, data.head(2)).data
    base = observed(Base("", simple, calibration=calibration), Cache(), lambda done, total: None)
    made = {}
    for target in ("x86-64-vnni", "x86-64-avx2"):
        schemes = schemes_for(profile.load(target), loaded, calibrated=True)
        scheme = next(scheme for scheme in schemes if isinstance(scheme, Int8Static))
        made[target] = form(base, static_order(base, (), "", static_recipe(scheme, "auto", base.data)).recipe)
    forms = [
        Form("float32", simple, ""),
        Form("built for x86-64-vnni, no guard", made["x86-64-vnni"], "0"),
        Form("built for x86-64-vnni, guard", made["x86-64-vnni"], "1"),
        Form("built for x86-64-avx2, no guard", made["x86-64-avx2"], "0"),
    ]
    feeds = {name: np.asarray(array[0 : len(data)]) for name, array in data.feeds.items()}
    return lambda outputs: judge.accuracy_of(judge.reader(outputs)).value, feeds, forms


def hidden(folder: Path) -> dict[str, str]:
    """Return the variables of a process that sees no VNNI; none where there is none to hide.

    Raises:
        RuntimeError: This processor has VNNI and cannot hide it, or there is no C compiler.
    """
    if int8_dot_products_saturate():
        return {}
    if "cpuid_fault" not in detect().features:
        raise RuntimeError(
            f"{detect()}: VNNI cannot be hidden here (no cpuid_fault), nor are there AVX2 kernels on another "
            "architecture: run this on an x86-64 processor without VNNI"
        )
    library = folder / "hide_vnni.so"
    ended = process.run(["cc", "-O2", "-shared", "-fPIC", str(_HIDING), "-o", str(library)], folder, _SECONDS)
    if ended.status != 0:
        raise RuntimeError(f"{_HIDING.name} was not compiled, a C compiler is needed: {ended.reason}")
    return {"LD_PRELOAD": str(library)}


def _run_child(folder: Path, rounds: int) -> None:
    """Run every form in a folder on the samples there, and time them on the first one; write outputs and speed-ups."""
    inputs = dict(np.load(folder / "inputs.npz"))
    settings = json.loads((folder / "forms.json").read_text("utf-8"))
    engines = [
        OrtEngine((folder / f"{number}.onnx").read_bytes(), SessionSettings(config=config))
        for number, config in enumerate(settings)
    ]
    for number, engine in enumerate(engines):
        np.savez(folder / f"outputs{number}.npz", **run_all(engine, inputs))  # type: ignore[arg-type]
    sample = {name: array[:1] for name, array in inputs.items()}
    runs = [lambda engine=engine: engine.run(sample) for engine in engines]
    speedups = [[one.value, one.low, one.high] for one in compare(runs, Plan(rounds=rounds)).speedups]
    (folder / "speedups.json").write_text(json.dumps(speedups), "utf-8")


def _decibels(reference: Mapping[str, Array], outputs: Mapping[str, Array]) -> float:
    """Return the lowest ratio of signal to noise over the outputs."""
    ratios = []
    for name, array in reference.items():
        exact = array.astype(np.float64)
        noise = max(float(np.mean(np.square(exact - outputs[name]))), 1e-30)
        ratios.append(float(10 * np.log10(np.mean(np.square(exact)) / noise)))
    return min(ratios)


if __name__ == "__main__":
    sys.exit(main())
