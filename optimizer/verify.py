"""A package's variants re-run at a place: golden samples, the same answers as on this host, the metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import msgspec
import numpy as np
import onnx

from benchmarks import remote
from benchmarks.remote import Answers, Form, Machine, Work
from devices.places.local import LocalPlace
from devices.places.place import Label, Place
from edge_runtime.errors import BadInput, EdgeoptError, Refused
from edge_runtime.inference.engine import Array, SampleFeeds
from edge_runtime.inference.ort import SessionSettings
from edge_runtime.package import golden
from edge_runtime.package.archive import Package
from edge_runtime.package.choice import against_needs
from edge_runtime.package.manifest import Evidence, Needs, Variant
from optimizer.compare import difference
from optimizer.data import Dataset
from optimizer.differences import Explanation, explain, most_different
from optimizer.graph import nodes
from optimizer.verify_metric import Asked, Scores, scores

Progress = Callable[[str, int, int], None]

_BATCH = 32  # as packages are built and golden samples are checked
_EXPLAINED = 16  # samples, those that differ most
_EVALUATED = "/evaluation"  # behind a variant's name
_DYNAMIC = "DynamicQuantizeLinear"  # scales by the batch at hand, so the batch is part of the answer


@dataclass(frozen=True)
class Check:
    """What re-running one variant found.

    Attributes:
        variant: Its name.
        failed: Why it did not run at the place, None where it did.
        golden: Largest distance from the golden outputs, as a share of what is allowed; None where it is too far.
        golden_problem: How it misses its golden samples, None where it does not.
        evidence: What a manifest can keep of it; None where it did not run.
        scores: The metric there, here and as recorded; None without evaluation samples.
        explanation: Why the answers differ from the host's, None where they do not.
    """

    variant: str
    failed: str | None = None
    golden: float | None = None
    golden_problem: str | None = None
    evidence: Evidence | None = None
    scores: Scores | None = None
    explanation: Explanation | None = None

    def fault(self, package: str, place: str) -> EdgeoptError | None:
        """Return what is wrong with the variant there, None where nothing is."""
        fix = f"do not serve it there; build the package for that machine: edgeopt quantize MODEL --target {place}"
        if self.failed:
            said = f"{package}, variant {self.variant} does not run at {place}: {self.failed}"
            return Refused("E-VERIFY-RUN", said, fix)
        if self.golden_problem:
            return Refused("E-GOLDEN-MISMATCH", f"{package} at {place}: {self.golden_problem}", fix)
        if self.scores and (off := self.scores.off()):
            return Refused("E-VERIFY-METRIC", f"{package}, variant {self.variant} at {place}: {off}", fix)
        return None


@dataclass(frozen=True)
class Verification:
    """A package re-run at a place.

    Attributes:
        package: Name and version.
        place: Where, as the user writes it.
        label: What the figures are called: measured or emulated.
        machine: The place.
        host: What it was compared with.
        checks: One for each variant that is meant for such a machine.
        skipped: Variant -> why it is not meant for it.
        notes: What a reader must know, in sentences.
    """

    package: str
    place: str
    label: Label
    machine: Machine
    host: Machine
    checks: tuple[Check, ...]
    skipped: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def fault(self) -> EdgeoptError | None:
        """Return what is wrong with the first variant that fails, None where all pass."""
        return next((fault for check in self.checks if (fault := check.fault(self.package, self.place))), None)

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        fault = self.fault()
        return {
            "package": self.package,
            "place": self.place,
            "label": self.label,
            "machine": str(self.machine),
            "host": str(self.host),
            "passed": fault is None,
            "fault": fault.code if fault else None,
            "variants": [msgspec.to_builtins(check) for check in self.checks],
            "skipped": dict(self.skipped),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Evaluation:
    """Samples to compute the metric on, and how.

    Attributes:
        data: The samples.
        asked: Metric, output and tolerance.
    """

    data: Dataset
    asked: Asked = field(default_factory=Asked)


def verify(
    package: Package, place: Place, evaluation: Evaluation | None, progress: Progress, notes: Sequence[str] = ()
) -> Verification:
    """Re-run a package's variants at a place and on this host, and compare.

    Args:
        package: The package.
        place: Where; `LocalPlace` is this host itself, which then has nothing but the golden samples to differ from.
        evaluation: Samples for the metric, None for the golden samples alone.
        progress: Gets (stage, samples done, samples in all).
        notes: What the reader must know of the place.

    Raises:
        Refused: E-GOLDEN-UNREADABLE.
        BadInput: E-PACKAGE-NO-VARIANT, it has none for that machine; the metric does not fit the data or the outputs.
        EnvironmentFault: E-PLACE-…: the place does not do as asked.
    """
    manifest = package.manifest
    variants, skipped = _meant_for(package, place)
    samples = golden.inputs_of(variants[0], package.members[manifest.golden.file])
    both = _Both(package, place, samples, evaluation.data.feeds if evaluation else None, progress)
    tried, judged = both.run(variants)
    found = scores(manifest, evaluation.data, evaluation.asked, judged.there, judged.here) if evaluation else {}
    checks = tuple(_check(variant, tried, judged, found, both) for variant in variants)
    return Verification(
        package=manifest.label,
        place=place.name,
        label=place.label,
        machine=tried.there.machine,
        host=tried.here.machine,
        checks=checks,
        skipped=skipped,
        notes=(*notes, *_notes(package, found)),
    )


def _notes(package: Package, found: Mapping[str, Scores]) -> list[str]:
    notes = []
    if package.manifest.golden.synthetic:
        notes.append("the golden samples are seeded noise: good for comparing machines, not for judging accuracy")
    if not found:
        notes.append("no metric was computed: give labelled samples with --evaluation DATA")
    if any(each.recorded is not None and not each.same_samples for each in found.values()):
        notes.append("the package records its metric on other samples: it is shown, and not held against these")
    return notes


@dataclass(frozen=True)
class _Pair:
    """Answers to the same samples at the place and on this host."""

    there: Answers
    here: Answers

    @property
    def failed(self) -> Mapping[str, str]:
        """Return why variants have no outputs at the place, or else on this host."""
        here = {name: f"on this host: {reason}" for name, reason in self.here.failures.items()}
        return {**here, **self.there.failures}


@dataclass(frozen=True)
class _Both:
    """The place and this host, run on the same samples: golden ones, and where there are, those for the metric."""

    package: Package
    place: Place
    samples: SampleFeeds
    more: SampleFeeds | None
    progress: Progress

    def run(self, variants: Sequence[Variant]) -> tuple[_Pair, _Pair]:
        """Return what the variants compute of the golden samples, and of the evaluation samples (else the same)."""
        samples, more = self.samples, self.more
        works = [Work(self.form(variant), samples, _BATCH) for variant in variants]
        if more is not None:
            # As the package was built: one at a time where the result depends on the others.
            forms = [replace(work.form, name=f"{work.form.name}{_EVALUATED}") for work in works]
            works += [Work(form, more, 1 if _is_dynamic(form.model) else _BATCH) for form in forms]
        there = self._at(self.place, works)  # first, as it is what may be missing
        here = there if self.place.name == LocalPlace.name else self._at(LocalPlace(), works)
        tried = _Pair(*(_part(answers, evaluated=False) for answers in (there, here)))
        return tried, tried if more is None else _Pair(*(_part(answers, evaluated=True) for answers in (there, here)))

    def form(self, variant: Variant) -> Form:
        """Return a variant as it is served."""
        settings = SessionSettings(variant.threads, config=variant.session)
        return Form(variant.name, self.package.members[variant.file], settings, variant.engine)

    def _at(self, place: Place, works: Sequence[Work]) -> Answers:
        stage = "running here" if place.name == LocalPlace.name else f"running at {place.name}"
        return remote.outputs_of(place, works, partial(self.progress, stage))


def _part(answers: Answers, *, evaluated: bool) -> Answers:
    """Return the answers to the golden or to the evaluation samples, under the variants' own names."""
    names = {name for name in (*answers.outputs, *answers.failures) if name.endswith(_EVALUATED) == evaluated}
    outputs = {name.removesuffix(_EVALUATED): answers.outputs[name] for name in names & set(answers.outputs)}
    failures = {name.removesuffix(_EVALUATED): answers.failures[name] for name in names & set(answers.failures)}
    return Answers(answers.machine, outputs, failures)


def _check(variant: Variant, tried: _Pair, judged: _Pair, found: Mapping[str, Scores], both: _Both) -> Check:
    failed = tried.failed.get(variant.name) or judged.failed.get(variant.name)
    if failed:
        return Check(variant.name, failed=failed)
    data = both.package.members[both.package.manifest.golden.file]
    worst, problem = None, None
    try:
        worst = golden.compare(variant, tried.there.outputs[variant.name], data).worst
    except Refused as refused:
        problem = refused.message
    exact, agreement = _agreement([tried, judged], variant.name)
    own = found.get(variant.name)
    evidence = Evidence(
        place=both.place.name,
        label=both.place.label,
        machine=str(tried.there.machine.host),
        engine=tried.there.machine.version_of(variant.engine),
        samples=own.samples if own else both.package.manifest.golden.samples,
        exact=exact,
        agreement_db=agreement,
        accuracy=own.there if own else None,
    )
    explanation = None
    if not exact:
        here, there = judged.here.outputs[variant.name], judged.there.outputs[variant.name]
        samples = both.samples if both.more is None else most_different(here, there, both.more, _EXPLAINED)
        explanation = explain(both.form(variant), LocalPlace(), both.place, samples)
    return Check(variant.name, None, worst, problem, evidence, own, explanation)


def _agreement(pairs: Sequence[_Pair], name: str) -> tuple[bool, float | None]:
    """Return whether all answers are equal, and if not the lowest signal to noise ratio of an output, in dB."""
    exact, ratios = True, []
    for pair in pairs:
        for output, here in pair.here.outputs[name].items():
            there = pair.there.outputs[name][output]
            if _equal(here, there):
                continue
            exact = False
            if here.shape == there.shape and (ratio := difference(output, here, there).sqnr_db) is not None:
                ratios.append(ratio)
    return exact, None if exact else min(ratios, default=0.0)


def _equal(first: Array, second: Array) -> bool:
    return first.dtype == second.dtype and bool(np.array_equal(first, second, equal_nan=first.dtype.kind in "fc"))


def _meant_for(package: Package, place: Place) -> tuple[list[Variant], dict[str, str]]:
    """Return the variants for such a machine, and why the others are not; the place is asked only where it matters."""
    variants = package.manifest.variants
    skipped = {each.name: f"it needs {each.provider}" for each in variants if each.provider != "cpu"}
    if any(variant.needs != Needs() for variant in variants):
        host = remote.facts(place).host
        skipped |= {each.name: why for each in variants for why in [*against_needs(each.needs, host)][:1]}
    kept = [variant for variant in variants if variant.name not in skipped]
    if not kept:
        why = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
        raise BadInput(
            "E-PACKAGE-NO-VARIANT",
            f"{package.manifest.label} has no variant for {place.name}: {why}",
            "build one for it: edgeopt quantize MODEL --target PROFILE",
        )
    return kept, skipped


def _is_dynamic(model: bytes) -> bool:
    return any(node.op_type == _DYNAMIC for node in nodes(onnx.load_model_from_string(model).graph))
