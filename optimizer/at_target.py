"""A variant's answers at its target, held against those it gives here: the same, near enough, or another model.

Between processors the int8 forms with uint8 activations and int8 weights per channel are exact; others differ by single
steps, which grow through a network (measured: 25 to 47 dB between x86 and Arm, both right). A kernel that saturates or
is broken gives less: 12.8 dB where AVX2 saturates, -4.6 dB where an emulated extension was wrong.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from edge_runtime.inference.batch import count_samples, run_all
from edge_runtime.inference.engine import Array
from edge_runtime.package.manifest import Evidence
from optimizer.agreement import agreement_of
from optimizer.cache import Cache, Parts
from optimizer.candidates import Candidate
from optimizer.data import Dataset
from optimizer.elsewhere import forms_of
from optimizer.executor import Ticks
from optimizer.schemes import Float16, Int8Dynamic
from optimizer.target import Target
from optimizer.tools import conditions
from optimizer.workbench import Terms

if TYPE_CHECKING:
    from devices.places.place import Place

_EMULATED_SAMPLES = 128  # under emulation a model takes some 50 times as long
_SENT_BYTES = 64_000_000  # of samples, to a board
_FEWEST_SAMPLES = 16
_FLOORS = {"float32": 60.0, "float16": 30.0, "int8": 20.0}  # dB; measured: 110 and more, 45, 25 and more
_BATCH = 32
_KIND = "verified"


class _Seen(msgspec.Struct, frozen=True):
    """What the cache keeps of a verification."""

    evidence: Evidence | None
    rejected: str | None


@dataclass(frozen=True)
class Verifier:
    """Holds variants against a target.

    Attributes:
        target: Where they run.
        place: Where its own code runs.
        samples: What they are fed, as many as the target is given.
        terms: Who computes the metric, and what may be lost.
        cache: What was verified before.
        progress: Told how many samples are through.
    """

    target: Target
    place: Place
    samples: Mapping[str, Array]
    terms: Terms
    cache: Cache
    progress: Ticks

    def verified(self, candidate: Candidate) -> tuple[Candidate, Evidence | None]:
        """Return the candidate, rejected where it computes something else there, and what was seen.

        Raises:
            EnvironmentFault: E-PLACE-…, the place does not do as asked.
        """
        parts = self._parts(candidate)
        entry = self.cache.get(_KIND, parts)
        seen = self._see(candidate) if entry is None else msgspec.json.decode(entry, type=_Seen)
        if entry is None:
            self.cache.put(_KIND, parts, msgspec.json.encode(seen))
        return replace(candidate, rejected=seen.rejected) if seen.rejected else candidate, seen.evidence

    def _see(self, candidate: Candidate) -> _Seen:
        from benchmarks import remote  # noqa: PLC0415 - whoever builds for this machine opens no place

        batch = 1 if isinstance(candidate.scheme, Int8Dynamic) else _BATCH  # there the result depends on the batch
        (form,) = forms_of([candidate])
        answers = remote.outputs(self.place, [form], self.samples, batch, self.progress)
        if form.name in answers.failures:
            return _Seen(None, f"it does not run at {self.target.name}: {answers.failures[form.name]}")
        here, there = run_all(candidate.engine(), self.samples, batch), answers.outputs[form.name]
        agreement = agreement_of(here, there)
        evidence = Evidence(
            place=self.place.name,
            label=self.place.label,
            machine=str(answers.machine),
            engine=answers.machine.version_of(form.engine),
            samples=count_samples(self.samples),
            exact=agreement == math.inf,
            agreement_db=None if agreement == math.inf else round(max(agreement, -999.0), 1),
            accuracy=self._metric(there),
        )
        return _Seen(evidence, self._against(candidate, agreement, here, there))

    def _against(
        self, candidate: Candidate, agreement: float, here: Mapping[str, Array], there: Mapping[str, Array]
    ) -> str | None:
        """Return why these answers rule a form out, None where they do not."""
        if agreement == math.inf:
            return None
        label, place = self.place.label, self.target.name
        if agreement < _floor(candidate):
            return (
                f"it computes something else at {place}: {agreement:.1f} dB from its answers here, where "
                f"{_floor(candidate):.0f} dB are the least ({label})"
            )
        before, after, found = self._metric(here), self._metric(there), candidate.accuracy
        by, budget = self.terms.by, self.terms.budget
        if by is None or before is None or after is None or found is None:
            return None
        sign = 1 if by.metric.higher_is_better else -1
        loss = (found.loss_high if budget.certain else found.loss) + sign * (before - after)
        if candidate.scheme is None or budget.is_met(by.metric, loss, found.reference):
            return None
        return (
            f"outside the budget of {budget} at {place}: {found.metric} {after:.4f} there against {before:.4f} "
            f"here on {count_samples(self.samples)} samples ({label})"
        )

    def _metric(self, outputs: Mapping[str, Array]) -> float | None:
        return None if self.terms.by is None else self.terms.by.value_of(outputs)

    def _parts(self, candidate: Candidate) -> Parts:
        inputs = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in self.samples.items()}
        return {
            "form": [hashlib.sha256(candidate.data).hexdigest(), candidate.settings],
            "place": [self.place.name, self.target.machine],
            "inputs": inputs,
            "terms": self.terms.parts(),
            "found": candidate.accuracy,
            "tools": conditions(),
        }


def samples_for(place: Place, data: Dataset) -> int:
    """Return how many samples a place is given: all that it can take in reasonable time."""
    if place.label == "emulated":
        return min(len(data), _EMULATED_SAMPLES)
    per_sample = sum(array[:1].nbytes for array in data.feeds.values())
    return min(len(data), max(_FEWEST_SAMPLES, _SENT_BYTES // max(per_sample, 1)))


def _floor(candidate: Candidate) -> float:
    if candidate.scheme is None:
        return _FLOORS["float32"]
    return _FLOORS["float16" if isinstance(candidate.scheme, Float16) else "int8"]
