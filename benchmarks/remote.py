"""Asking a place what models compute there and how long they take: one Python process there, and its answer."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from benchmarks import bundle, exchange
from benchmarks.environment import Environment
from benchmarks.exchange import Form, Machine
from benchmarks.latency import Comparison, Plan
from devices.host import Conditions
from devices.places.place import Finished, Place
from edge_runtime.errors import EnvironmentFault
from edge_runtime.inference.batch import count_samples
from edge_runtime.inference.engine import Array, Feeds, SampleFeeds

__all__ = ["Answers", "Form", "Machine", "Progress", "Timing", "Work", "facts", "outputs", "outputs_of", "timed"]

Progress: TypeAlias = Callable[[int, int], None]

_REPORT = "run the command again; if it stays, run it with --debug before the verb and report what it shows"


@dataclass(frozen=True)
class Work:
    """A form to run on samples, so many at a time where it leaves that open."""

    form: Form
    feeds: SampleFeeds
    batch: int


@dataclass(frozen=True)
class Answers:
    """What forms computed at a place.

    Attributes:
        machine: Where.
        outputs: Form name -> output name -> array with all samples.
        failures: Form name -> why it has no outputs.
    """

    machine: Machine
    outputs: Mapping[str, Mapping[str, Array]]
    failures: Mapping[str, str]


@dataclass(frozen=True)
class Timing:
    """What timing forms against each other at a place found.

    Attributes:
        machine: Where.
        comparison: Times and speed-ups in the order of the forms.
        before: How the machine fared when it began.
        after: When it ended.
        memory: Form name -> peak bytes of a process with this form alone, Python and the engine included; forms for
            which the place does not tell are absent.
        doubts: Why the figures may not be what this machine can do, in sentences.
        refused: Why they are no evidence: what held the processor back; None where nothing is known to have.
    """

    machine: Machine
    comparison: Comparison
    before: Conditions
    after: Conditions
    memory: Mapping[str, int]
    doubts: tuple[str, ...]
    refused: str | None


def no_progress(done: int, total: int) -> None:
    """Show nothing."""


def facts(place: Place) -> Machine:
    """Return what a place runs models on.

    Raises:
        EnvironmentFault: E-PLACE-…: it cannot be used; E-PLACE-ONNXRUNTIME, its Python lacks a library.
    """
    with place:
        talk = _Talk(place, no_progress)
        talk.ask({"task": "facts", "forms": []})
        return talk.machine()


def outputs(
    place: Place, forms: Sequence[Form], feeds: SampleFeeds, batch: int, progress: Progress = no_progress
) -> Answers:
    """Run forms on all samples at a place.

    A form that does not load, fails, or ends the process has its reason in `failures`; the others still run.

    Args:
        place: Where; opened and closed here.
        forms: Models with names of their own.
        feeds: Input name -> array with all samples along its first axis.
        batch: Samples per call, where a model leaves that open.
        progress: Gets (samples done, samples in all), over all forms.

    Raises:
        EnvironmentFault: E-PLACE-…: the place does not do as asked; see `facts`.
    """
    return outputs_of(place, [Work(form, feeds, batch) for form in forms], progress)


def outputs_of(place: Place, works: Sequence[Work], progress: Progress = no_progress) -> Answers:
    """Run forms, each on samples of its own, in one process at a place; see `outputs`."""
    with place:
        talk = _Talk(place, progress)
        described = talk.send(works)
        answered: dict[str, dict[str, Array]] = {}
        failures: dict[str, str] = {}
        first = 0
        while first < len(works):
            killed = talk.ask({"task": "outputs", "forms": described, "first": first})
            begun = len(works) if killed is None else talk.form
            for index in range(first, begun):
                name, outcome = works[index].form.name, talk.read_json(exchange.outcome_file(index))
                if "failed" in outcome:
                    failures[name] = str(outcome["failed"])
                else:
                    answered[name] = talk.read_arrays(exchange.arrays_file("outputs", index))
            if killed is not None:
                failures[works[begun].form.name] = f"it ended the process: {killed}"
            first = begun + 1  # go on behind the one that ended it
        return Answers(talk.machine(), answered, failures)


def timed(
    place: Place,
    forms: Sequence[Form],
    feeds: Feeds | Sequence[Feeds],
    plan: Plan,
    progress: Progress = no_progress,
) -> Timing:
    """Time forms against each other at a place, interleaved; the first is the reference.

    Args:
        place: Where; opened and closed here.
        forms: Models with names of their own.
        feeds: One call's arrays by input name, for all forms or one for each.
        plan: How long to measure.
        progress: Gets (rounds done, rounds in all).

    Raises:
        EnvironmentFault: E-PLACE-MODEL, a form does not run there; E-PLACE-…: see `facts`.
    """
    of_each = [feeds] * len(forms) if isinstance(feeds, Mapping) else list(feeds)
    with place:
        talk = _Talk(place, progress)
        described = talk.send([Work(form, each, 1) for form, each in zip(forms, of_each, strict=True)])
        job = {"task": "timed", "forms": described, "plan": asdict(plan)}
        if (killed := talk.ask(job)) is not None:
            raise _does_not_run(place, forms[talk.form].name, f"it ended the process: {killed}")
        answer = talk.read_json(exchange.ANSWER)
        if "failed" in answer:
            raise _does_not_run(place, answer["form"], answer["failed"])
        return _timing(talk.machine(), answer)


def _timing(machine: Machine, answer: Mapping[str, Any]) -> Timing:
    before, after = (exchange.conditions_of(answer[moment]) for moment in ("before", "after"))
    environment = Environment(machine.host, machine.onnxruntime, before)
    environment.after = after
    held_back = environment.throttling()
    return Timing(
        machine=machine,
        comparison=exchange.comparison_of(answer["comparison"]),
        before=before,
        after=after,
        memory=answer["memory"],
        doubts=tuple(environment.doubts()),
        refused=f"the processor was held back: {', '.join(sorted(held_back))}" if held_back else None,
    )


class _Talk:
    """The runner at an open place: jobs out, answers in."""

    def __init__(self, place: Place, progress: Progress) -> None:
        self.form = 0
        self._place = place
        self._progress = progress
        self._begun = False
        place.put(exchange.RUNNER, bundle.packed())

    def send(self, works: Sequence[Work]) -> list[dict[str, Any]]:
        """Put models and samples there, each once however often it is used; return what a job says of each form."""
        models: dict[bytes, int] = {}
        inputs: dict[int, int] = {}
        described = []
        for work in works:
            if work.form.model not in models:
                models[work.form.model] = len(models)
                self._place.put(exchange.model_file(models[work.form.model]), work.form.model)
            if id(work.feeds) not in inputs:
                inputs[id(work.feeds)] = len(inputs)
                arrays = exchange.pack_arrays(_in_memory(work.feeds))
                self._place.put(exchange.arrays_file("inputs", inputs[id(work.feeds)]), arrays)
            files = {"model": models[work.form.model], "inputs": inputs[id(work.feeds)]}
            more = {"batch": work.batch, "samples": count_samples(work.feeds)}
            described.append({**exchange.described(work.form), **files, **more})
        return described

    def ask(self, job: Mapping[str, object]) -> str | None:
        """Have a job done; return None, or what killed the process while it was at `self.form`."""
        self._begun = False
        self._place.put(exchange.JOB, exchange.to_json(job))
        finished = self._place.python([exchange.RUNNER, exchange.JOB], self._on_line)
        if finished.status == exchange.LACKING:
            raise self._lacking()
        if finished.status == 0:
            return None
        killer = _killer(finished.status)
        if killer and self._begun:
            return killer
        raise self._failed(finished, killer)

    def machine(self) -> Machine:
        """Return what the place is, as the runner found it."""
        try:
            return exchange.machine_of(self.read_json(exchange.MACHINE))
        except (KeyError, TypeError) as error:
            raise self._unreadable(exchange.MACHINE, error) from error

    def read_json(self, name: str) -> Any:
        try:
            return exchange.from_json(self._place.get(name))
        except ValueError as error:
            raise self._unreadable(name, error) from error

    def read_arrays(self, name: str) -> dict[str, Array]:
        try:
            return exchange.unpack_arrays(self._place.get(name))
        except ValueError as error:
            raise self._unreadable(name, error) from error

    def _on_line(self, line: str) -> None:
        word, *numbers = line.split()[:3] or [""]
        if not all(number.isdecimal() for number in numbers):
            return
        if word == exchange.FORM_LINE and len(numbers) == 1:
            self.form, self._begun = int(numbers[0]), True
        elif word == exchange.PROGRESS_LINE and len(numbers) == 2:
            self._progress(int(numbers[0]), int(numbers[1]))

    def _failed(self, finished: Finished, killer: str) -> EnvironmentFault:
        said = [line for line in finished.stderr.splitlines() if line.strip()][-1:]
        what = killer or f"exit status {finished.status}"
        return EnvironmentFault(
            "E-PLACE-RUNNER",
            f"{self._place.name}: Python ended with {what}{': ' if said else ''}{''.join(said)[:300]}",
            _REPORT,
        )

    def _lacking(self) -> EnvironmentFault:
        found = self.read_json(exchange.MISSING)
        lacking = found["missing"]
        words = "; ".join(f"{name} ({why})" for name, why in lacking.items())
        where = f"{self._place.name} ({found['machine']}, Python {found['python']})"
        if "python" in lacking:
            fix = "install Python 3.10 or newer there, with numpy and onnxruntime, or name another machine"
            return EnvironmentFault("E-PLACE-PYTHON", f"{where} cannot be used: {words}", fix)
        fix = f"install it there: python3 -m pip install {' '.join(sorted(lacking))}"
        return EnvironmentFault("E-PLACE-ONNXRUNTIME", f"{where} lacks {words}", fix)

    def _unreadable(self, name: str, error: Exception) -> EnvironmentFault:
        return EnvironmentFault(
            "E-PLACE-ANSWER", f"{self._place.name} answered with a {name} that cannot be read: {error}", _REPORT
        )


def _killer(status: int) -> str:
    """Return which signal ended a process, "" where none did; a shell in between adds 128 to its number."""
    number = -status if status < 0 else status - 128
    try:
        name = signal.Signals(number).name
    except ValueError:
        return ""
    return f"{name} (out of memory?)" if name == "SIGKILL" else name


def _does_not_run(place: Place, form: str, why: str) -> EnvironmentFault:
    return EnvironmentFault(
        "E-PLACE-MODEL",
        f"{form} does not run at {place.name}: {why}",
        "see what runs there: edgeopt verify PACKAGE --target " + place.name,
    )


def _in_memory(feeds: SampleFeeds) -> dict[str, Array]:
    return {name: array[: len(array)] if array.ndim else array for name, array in feeds.items()}  # type: ignore[misc]
