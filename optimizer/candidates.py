"""One candidate's way: built, judged, timed; and the choice between those that came through."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import TypeAlias

from benchmarks.latency import Interval, Plan, Run, compare, verdict
from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array, Feeds
from edge_runtime.inference.ort import OrtEngine, SessionSettings
from edge_runtime.package.manifest import Accuracy
from optimizer.evaluate import Budget, Judge
from optimizer.quantize import quantize
from optimizer.schemes import Int8Dynamic, Int8Weights, Scheme

Ranges: TypeAlias = Mapping[str, tuple[float, float]]  # tensor name -> (low, high)

_EVALUATION_BATCH = 32

# What onnxruntime's quantizer is seen to raise on graphs it does not expect.
_QUANTIZER_ERRORS = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Candidate:
    """A form of the model and what is known about it so far.

    Attributes:
        name: Variant name, ``fp32`` or ``as-given`` for the user's own model.
        precision: In words.
        data: The ONNX model; empty where it could not be built.
        settings: Session settings it is measured and served with.
        scheme: None for float32 forms.
        accuracy: None until judged, or where there are no evaluation data.
        milliseconds: Median latency at batch 1 with its interval, None until timed.
        speedup: Against the user's own model in the same run.
        rejected: Why it is out, None while it is in.
    """

    name: str
    precision: str
    data: bytes
    settings: SessionSettings
    scheme: Scheme | None = None
    accuracy: Accuracy | None = None
    milliseconds: Interval | None = None
    speedup: Interval | None = None
    rejected: str | None = None

    def engine(self) -> OrtEngine:
        """Load the candidate as it will be served."""
        return OrtEngine(self.data, self.settings)

    def run_one(self, sample: Feeds) -> dict[str, Array]:
        """Load and run one sample."""
        return self.engine().run(sample)


def build(
    data: bytes, scheme: Scheme, ranges: Ranges, threads: int, sample: Feeds, keep_float: Sequence[str] = ()
) -> Candidate:
    """Quantize and make sure the result loads and runs; a failure is a rejected candidate, never an exception."""
    settings = SessionSettings(threads, config=scheme.session)
    empty = Candidate(scheme.name, scheme.precision, b"", settings, scheme)
    try:
        candidate = replace(empty, data=quantize(data, scheme, ranges, keep_float))
        candidate.run_one(sample)
    except BadInput as error:
        return replace(empty, rejected=f"does not run: {error.message}")
    except _QUANTIZER_ERRORS as error:
        return replace(empty, rejected=f"cannot be quantized this way: {type(error).__name__}: {error}")
    if candidate.data == data:
        return replace(empty, rejected="nothing in the model takes this form")
    return candidate


def judge(candidate: Candidate, by: Judge | None, budget: Budget) -> Candidate:
    """Measure accuracy where there is something to measure it with, and hold it against the budget."""
    if by is None or candidate.rejected:
        return candidate
    batch = 1 if isinstance(candidate.scheme, Int8Dynamic) else _EVALUATION_BATCH
    accuracy = by.evaluate(candidate.engine(), batch)
    judged = replace(candidate, accuracy=accuracy)
    if not isfinite(accuracy.value):
        return replace(judged, rejected=f"E-METRIC-NAN: its {accuracy.metric} is {accuracy.value}, no number")
    loss = accuracy.loss_high if budget.certain else accuracy.loss
    if candidate.scheme is None or budget.is_met(by.metric, loss, accuracy.reference):
        return judged
    values = f"{accuracy.metric} {accuracy.value:.4f} against {accuracy.reference:.4f}"
    upper = f", its loss up to {accuracy.loss_high:.4f}," if budget.certain else ""
    return replace(judged, rejected=f"{values}{upper} is outside the budget of {budget}")


def time_all(
    candidates: Sequence[Candidate], sample: Feeds, plan: Plan, progress: Callable[[int, int], None]
) -> list[Candidate]:
    """Time all candidates that are still in, interleaved; the first is the user's own model and the reference."""
    running = [candidate for candidate in candidates if not candidate.rejected]
    engines = [candidate.engine() for candidate in running]
    comparison = compare([_bind(engine, sample) for engine in engines], plan, progress=progress)
    timed = {
        candidate.name: replace(candidate, milliseconds=milliseconds, speedup=speedup)
        for candidate, milliseconds, speedup in zip(running, comparison.timings, comparison.speedups, strict=True)
    }
    return [timed.get(candidate.name, candidate) for candidate in candidates]


def gate(candidate: Candidate) -> Candidate:
    """Reject what does not gain what it is for: shown to be faster, or smaller and not shown to be slower."""
    speedup = candidate.speedup
    if candidate.rejected or speedup is None:
        return candidate
    measured = f"{speedup.value:.2f} x ({speedup.low:.2f} to {speedup.high:.2f})"
    if isinstance(candidate.scheme, Int8Weights):
        slower = verdict(speedup) == "slower"
        return replace(candidate, rejected=f"slower than float32 here: {measured}") if slower else candidate
    if verdict(speedup) == "faster":
        return candidate
    return replace(candidate, rejected=f"not shown to be faster than float32 here: {measured}")


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """Return the best candidate that is in: the fastest quantized form, else the smallest, else float32."""
    accepted = [candidate for candidate in candidates if not candidate.rejected]
    return max(accepted, key=_rank)


def _rank(candidate: Candidate) -> tuple[int, float]:
    """Order by what a form gains (int8 arithmetic, then size, then nothing), and inside that by speed."""
    quantized = candidate.scheme is not None
    speed_gained = quantized and not isinstance(candidate.scheme, Int8Weights)
    return quantized + speed_gained, candidate.speedup.value if candidate.speedup else 1.0


def _bind(engine: OrtEngine, sample: Feeds) -> Run:
    return lambda: engine.run(sample)
