"""Models and packages timed against each other: each as it would be served, on inputs made up for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import remote
from benchmarks.environment import Environment, observed
from benchmarks.inputs import synthetic_feeds
from benchmarks.latency import Comparison, Plan, Run, clock_for, compare, verdict
from benchmarks.remote import Form
from devices.places.place import Place
from edge_runtime.errors import Refused, WrongUsage
from edge_runtime.inference import engines
from edge_runtime.inference.engine import Array, Engine
from edge_runtime.inference.ort import SessionSettings
from edge_runtime.package import archive
from optimizer.load import load_model

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Subject:
    """One thing to time.

    Attributes:
        name: How it is called in the result: the file's name, with folders where it takes them to tell files apart.
        size: Bytes of the model, external data included.
        form: The model as it would be served.
        engine: The same, loaded here.
        feeds: One batch of seeded noise.
    """

    name: str
    size: int
    form: Form
    engine: Engine
    feeds: dict[str, Array]

    @property
    def inputs(self) -> str:
        """Return names, types and shapes of what it is fed, in words."""
        return ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in self.feeds.items())


@dataclass(frozen=True)
class Measurement:
    """Subjects, what timing them found, and the machine meanwhile.

    Attributes:
        subjects: What was timed.
        comparison: Times and speed-ups, in their order.
        environment: The machine.
        plan: How long and how often.
        memory: Subject -> peak bytes of a process with it alone, as far as the place tells; none of this process.
    """

    subjects: tuple[Subject, ...]
    comparison: Comparison
    environment: Environment
    plan: Plan
    memory: Mapping[str, int] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """Return what a reader must know to judge the figures, in sentences."""
        inputs = sorted({subject.inputs for subject in self.subjects})
        fed = [f"inputs are seeded noise: {inputs[0]}"]
        if len(inputs) > 1:
            fed = [f"{subject.name} is fed seeded noise: {subject.inputs}" for subject in self.subjects]
            fed.append("the models take different inputs: only their times are compared")
        peaks = ", ".join(f"{name} {peak / 1e6:.0f} MB" for name, peak in self.memory.items())
        memory = [f"peak memory of a process with one model alone: {peaks}"] if peaks else []
        return [*fed, *memory, *self.environment.doubts()]

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values; times in milliseconds, sizes in bytes."""
        rows = zip(self.subjects, self.comparison.timings, self.comparison.speedups, strict=True)
        return {
            "label": "measured",
            "models": [
                {
                    "name": subject.name,
                    "bytes": subject.size,
                    "milliseconds": asdict(timing),
                    "speedup": asdict(speedup),
                    "verdict": verdict(speedup),
                    "peak_memory_bytes": self.memory.get(subject.name),
                }
                for subject, timing, speedup in rows
            ],
            "rounds": self.plan.rounds,
            "machine": str(self.environment.host),
            "onnxruntime": self.environment.onnxruntime,
            "load_average": self.environment.before.load_average,
            "governor": self.environment.before.governor,
            "temperature_celsius": self.environment.after.temperature_celsius,
            "notes": self.notes(),
        }


def load_subjects(paths: Sequence[Path], settings: SessionSettings, shapes: Shapes, batch: int) -> tuple[Subject, ...]:
    """Load models (.onnx) and packages (.edgepkg).

    Args:
        paths: The files.
        settings: Session settings; a package's variant adds the entries it asks for.
        shapes: Input name -> full shape, for inputs whose open dimensions should not be guessed.
        batch: Samples per call, for inputs whose first dimension is open.

    Raises:
        BadInput: a file is missing or is no model or package; E-MODEL-SHAPE, no shape was found that it runs with.
        WrongUsage: E-OPTION-SHAPE, no model has such an input; E-OPTION-BATCH, a model fixes another batch.
    """
    opened = [_open(path, settings) for path in paths]
    known = {tensor.name for _, _, engine in opened for tensor in engine.inputs}
    if unknown := set(shapes) - known:
        raise WrongUsage(
            "E-OPTION-SHAPE",
            f"--shape: no model has an input {', '.join(sorted(unknown))}",
            f"use one of: {', '.join(sorted(known))}",
        )
    return tuple(
        Subject(name, size, replace(form, name=name), engine, _feeds(name, engine, shapes, batch))
        for name, (size, form, engine) in zip(_names(paths), opened, strict=True)
    )


def measure(
    subjects: Sequence[Subject], plan: Plan, threads: int = 1, progress: Callable[[int, int], None] | None = None
) -> Measurement:
    """Time the subjects interleaved; the first is the reference. `progress` gets (rounds done, rounds in all)."""
    with observed() as environment:
        runs = [_bind(subject) for subject in subjects]
        comparison = compare(runs, plan, progress=progress, clock=clock_for(threads))
    return Measurement(tuple(subjects), comparison, environment, plan)


def measure_at(
    place: Place, subjects: Sequence[Subject], plan: Plan, progress: Callable[[int, int], None] = remote.no_progress
) -> Measurement:
    """Time the subjects interleaved at a place, each with its own inputs; see `measure`.

    Raises:
        WrongUsage: E-BENCHMARK-EMULATED, times of an emulated machine mean nothing.
        Refused: E-BENCHMARK-THROTTLED, the processor was held back.
        EnvironmentFault: E-PLACE-…: the place does not do as asked, or a model does not run there.
    """
    if place.label != "measured":
        raise WrongUsage(
            "E-BENCHMARK-EMULATED",
            f"{place.name} is emulated, and the time that takes says nothing about the board",
            "measure on the board: --target ssh://USER@HOST; or count instructions: python -m benchmarks.instructions",
        )
    forms, feeds = [subject.form for subject in subjects], [subject.feeds for subject in subjects]
    timing = remote.timed(place, forms, feeds, plan, progress)
    if timing.refused:
        raise Refused(
            "E-BENCHMARK-THROTTLED",
            f"{place.name}: {timing.refused}, so its times are no evidence",
            "let it cool, or give it a supply and a cooler that hold its full speed; then measure again",
        )
    environment = Environment(timing.machine.host, timing.machine.onnxruntime, timing.before)
    environment.after = timing.after
    return Measurement(tuple(subjects), timing.comparison, environment, plan, timing.memory)


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the file names, with as many of their folders as it takes to tell the files apart."""
    deepest = max(len(path.parts) for path in paths)
    for depth in range(1, deepest + 1):
        names = [str(Path(*path.parts[-depth:])) for path in paths]
        if len(set(names)) == len(set(paths)):
            break
    return names


def _open(path: Path, settings: SessionSettings) -> tuple[int, Form, Engine]:
    """Return the model's size, the model as it would be served, and loaded: a package gives its first variant."""
    if not archive.is_package(path):
        model = load_model(path)
        size, form = model.file_bytes, Form(path.name, model.data, settings)
    else:
        package = archive.read(path)
        variant = package.manifest.variants[0]
        data = package.members[variant.file]
        own = SessionSettings(settings.threads, config=variant.session)
        size, form = len(data), Form(path.name, data, own, variant.engine)
    return size, form, engines.load(form.engine, form.model, form.settings)


def _feeds(name: str, engine: Engine, shapes: Shapes, batch: int) -> dict[str, Array]:
    own = {tensor.name: shapes[tensor.name] for tensor in engine.inputs if tensor.name in shapes}
    fixed = [tensor for tensor in engine.inputs if tensor.shape and not tensor.has_dynamic_batch()]
    if batch > 1 and any(tensor.shape[0] != batch for tensor in fixed):
        raise WrongUsage(
            "E-OPTION-BATCH",
            f"--batch {batch}: {name} fixes its batch: {'; '.join(str(tensor) for tensor in fixed)}",
            "leave out --batch, or export the model with an open first dimension",
        )
    return synthetic_feeds(engine, own, batch=batch)


def _bind(subject: Subject) -> Run:
    return lambda: subject.engine.run(subject.feeds)
