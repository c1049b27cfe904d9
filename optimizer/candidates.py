"""A candidate: one form of the model and what is known about it; and the choice between those that came through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

from benchmarks.latency import Interval, verdict
from edge_runtime.inference import engines
from edge_runtime.inference.engine import Array, Engine, Feeds
from edge_runtime.inference.ort import SessionSettings
from edge_runtime.package.manifest import Accuracy, Label, Quantity
from optimizer.evaluate import Budget, Judge
from optimizer.recipe import Recipe
from optimizer.schemes import Int8Dynamic, Scheme

_EVALUATION_BATCH = 32
_AS_FAST = 1.02  # speeds closer than this are told apart by size
_AS_SMALL = 1.1  # sizes closer than this are told apart by how exact the form is


@dataclass(frozen=True)
class Candidate:
    """A form of the model and what is known about it so far.

    Attributes:
        name: Variant name, ``fp32`` or ``as-given`` for the user's own model.
        precision: In words.
        data: The ONNX model; empty where it could not be built.
        settings: Session settings it is measured and served with.
        recipe: How it was made; None for float32 forms.
        base: Label of the float32 model it was made from.
        accuracy: None until judged, or where there are no evaluation data.
        noise: Mean squared difference to the float32 outputs over their variance, on the evaluation samples.
        milliseconds: Median latency at batch 1 with its interval, None until timed.
        speedup: Against the user's own model in the same run.
        rejected: Why it is out, None while it is in.
        quantity: What `speedup` is the ratio of; anything but time is a direction, never milliseconds.
        engine_name: What executes it, see `edge_runtime.inference.engines`.
        agreement: Of its outputs with onnxruntime's of the same file on the golden samples, in dB; None in onnxruntime
            itself.
    """

    name: str
    precision: str
    data: bytes
    settings: SessionSettings
    recipe: Recipe | None = None
    base: str = ""
    accuracy: Accuracy | None = None
    noise: float | None = None
    milliseconds: Interval | None = None
    speedup: Interval | None = None
    rejected: str | None = None
    quantity: Quantity = "time"
    engine_name: str = engines.DEFAULT
    agreement: float | None = None

    @property
    def label(self) -> Label:
        """Return how its speed-up came about."""
        return label_of(self.quantity)

    @property
    def scheme(self) -> Scheme | None:
        """Return the form's scheme, None for float32 forms."""
        return self.recipe.scheme if self.recipe else None

    @property
    def loss(self) -> float:
        """Return how much of the metric was lost; infinite where that is not known."""
        return self.accuracy.loss if self.accuracy else float("inf")

    @property
    def speed(self) -> float:
        """Return the median speed-up; 0 where it was not timed."""
        return self.speedup.value if self.speedup else 0.0

    @property
    def is_elsewhere(self) -> bool:
        """Tell whether another engine than onnxruntime executes it."""
        return self.engine_name != engines.DEFAULT

    def engine(self) -> Engine:
        """Load the candidate as it will be served."""
        return engines.load(self.engine_name, self.data, self.settings)

    def run_one(self, sample: Feeds) -> dict[str, Array]:
        """Load and run one sample."""
        return self.engine().run(sample)


def judge(candidate: Candidate, by: Judge | None, budget: Budget) -> Candidate:
    """Measure accuracy where there is something to measure it with, and hold it against the budget."""
    if by is None or candidate.rejected:
        return candidate
    batch = 1 if isinstance(candidate.scheme, Int8Dynamic) else _EVALUATION_BATCH
    outputs = by.outputs_of(candidate.engine(), batch)
    accuracy = by.accuracy_of(outputs)
    judged = replace(candidate, accuracy=accuracy, noise=by.noise_of(outputs))
    if not isfinite(accuracy.value):
        return replace(judged, rejected=f"E-METRIC-NAN: its {accuracy.metric} is {accuracy.value}, no number")
    loss = accuracy.loss_high if budget.certain else accuracy.loss
    if (candidate.scheme is None and not candidate.is_elsewhere) or budget.is_met(by.metric, loss, accuracy.reference):
        return judged
    values = f"{accuracy.metric} {accuracy.value:.4f} against {accuracy.reference:.4f}"
    upper = f", its loss up to {accuracy.loss_high:.4f}," if budget.certain else ""
    return replace(judged, rejected=f"outside the budget of {budget}: {values}{upper} on {accuracy.samples} samples")


def label_of(quantity: Quantity) -> Label:
    """Return how a ratio of this quantity came about: only time is measured."""
    return "measured" if quantity == "time" else "predicted"


def gate(candidate: Candidate, where: str = "here") -> Candidate:
    """Reject what does not gain what it is for: shown to be faster, or smaller and not shown to be slower.

    Args:
        candidate: A form with its speed-up.
        where: The machine that the speed-up is of, in words after the verdict: ``here``, ``on a Cortex-A72``.
    """
    speedup = candidate.speedup
    if candidate.rejected or speedup is None:
        return candidate
    found = verdict(speedup)
    if found == "faster" or (candidate.scheme is not None and candidate.scheme.smaller_only and found != "slower"):
        return candidate
    return replace(candidate, rejected=_no_gain(candidate, speedup, where))


def _no_gain(candidate: Candidate, speedup: Interval, where: str) -> str:
    if candidate.quantity == "instructions":
        words = "more instructions than" if speedup.value < 1 else "hardly fewer instructions than"
        return f"{words} float32 {where} (predicted): {speedup.value:.2f} x"
    if candidate.quantity == "formulas":
        words = "slower than" if speedup.value < 1 else "nothing says that it is faster than"
        return f"{words} float32 {where} (predicted): {speedup.value:.2f} x"
    measured = f"{speedup.value:.2f} x ({speedup.low:.2f} to {speedup.high:.2f})"
    smaller_only = candidate.scheme is not None and candidate.scheme.smaller_only
    return f"{'slower than' if smaller_only else 'not shown to be faster than'} float32 {where}: {measured}"


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """Return the best form that is in: the fastest, of those as good the smallest, of those as small the most exact.

    Where nothing is faster than the user's own model, the smallest quantized form, and the user's own without one.
    """
    accepted = [candidate for candidate in candidates if not candidate.rejected]
    faster = [one for one in accepted if one.speedup is not None and verdict(one.speedup) == "faster"]
    if faster:
        fastest = max(one.speed for one in faster)
        as_fast = [one for one in faster if one.speed * _AS_FAST >= fastest]
        smallest = min(len(one.data) for one in as_fast)
        as_small = [one for one in as_fast if len(one.data) <= smallest * _AS_SMALL]
        return min(as_small, key=lambda one: one.noise or 0.0)
    quantized = [one for one in accepted if one.scheme is not None]
    return min(quantized, key=lambda one: len(one.data)) if quantized else accepted[0]


def pareto(candidates: Sequence[Candidate]) -> frozenset[str]:
    """Return the names of those that no other beats in accuracy, speed and size at once; rejected ones count too."""
    known = [candidate for candidate in candidates if candidate.data and candidate.speedup is not None]
    return frozenset(one.name for one in known if not any(_dominates(other, one) for other in known))


def _dominates(one: Candidate, other: Candidate) -> bool:
    ours = (-_known_loss(one), one.speed, -len(one.data))
    theirs = (-_known_loss(other), other.speed, -len(other.data))
    return ours != theirs and all(a >= b for a, b in zip(ours, theirs, strict=True))


def _known_loss(candidate: Candidate) -> float:
    return candidate.accuracy.loss if candidate.accuracy else 0.0
