"""The whole flow on one page: load, simplify, observe once, quantize, judge, time, choose, seal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from benchmarks.inputs import synthetic_feeds
from devices import profile
from edge_runtime.errors import BadInput, BudgetNotMet
from edge_runtime.inference.batch import batch_size_of
from edge_runtime.inference.engine import Array
from edge_runtime.inference.ort import OrtEngine, SessionSettings
from optimizer.calibrate.observe import observe_ranges
from optimizer.candidates import Candidate, build, choose, judge, time_all
from optimizer.evaluate import Judge
from optimizer.graph import WEIGHTED_OPS
from optimizer.load import LoadedModel
from optimizer.quantize import tensors_to_observe
from optimizer.request import Request
from optimizer.schemes import Int8Static, Scheme, schemes_for
from optimizer.seal import Result, seal
from optimizer.simplify import Simplified, simplify

Progress: TypeAlias = Callable[[str, int, int], None]  # (stage in words, done, in all)


def optimize(model: LoadedModel, request: Request, progress: Progress = lambda stage, done, total: None) -> Result:
    """Find the fastest form of the model inside the budget; the user's own float32 model where there is none.

    Raises:
        BadInput: the data or the metric do not fit the model, or E-TARGET-UNKNOWN.
        BudgetNotMet: E-BUDGET-INT8, `require_int8` is set and no int8 form came through.
    """
    device = _device(request.target)
    original = Candidate("fp32", _own_precision(model), model.data, SessionSettings(request.threads))
    engine = original.engine()
    sample = _one_sample(engine, request)
    progress("evaluating the model as it is", 0, 1)
    by = _judge(engine, request)
    candidates = [judge(original, by, request.budget)]
    nothing = nothing_to_quantize(model)
    if nothing is None:
        schemes = schemes_for(device, model, calibrated=request.calibration is not None)
        simplified = simplify(model.data, sample)
        candidates += [_float_form(simplified, request.threads)] if simplified.data != model.data else []
        candidates += _quantized_forms(simplified.data, schemes, sample, request, progress)
        for index, candidate in enumerate(candidates[1:], start=1):
            progress("evaluating candidates", index, len(candidates))
            candidates[index] = judge(candidate, by, request.budget)
    progress("timing, interleaved", 0, 1)
    candidates = time_all(candidates, sample, request.plan)
    chosen = choose(candidates)
    if request.require_int8 and chosen.scheme is None:
        raise _int8_missing(candidates, nothing)
    progress("sealing", 0, 1)
    return seal(model, candidates, chosen, sample, request)


def nothing_to_quantize(model: LoadedModel) -> str | None:
    """Return why a model is passed through as it is, None where there is work to do."""
    if model.already_quantized:
        return f"the model is already quantized (it holds {', '.join(model.already_quantized)})"
    if not model.weights:
        found = ", ".join(list(model.operators)[:3])
        return f"it has no {', '.join(WEIGHTED_OPS)} with constant float32 weights (it is made of {found})"
    return None


def _device(name: str) -> profile.Device:
    try:
        return profile.load(name)
    except KeyError as error:
        known = ", ".join(profile.names())
        raise BadInput("E-TARGET-UNKNOWN", f"there is no target {name}", f"use one of: {known}") from error


def _own_precision(model: LoadedModel) -> str:
    return "as given, already quantized" if model.already_quantized else "as given"


def _one_sample(engine: OrtEngine, request: Request) -> dict[str, Array]:
    data = request.evaluation or request.calibration
    if data is not None:
        return data.head(batch_size_of(engine, 1))
    return synthetic_feeds(engine, request.shapes)


def _judge(engine: OrtEngine, request: Request) -> Judge | None:
    data = request.evaluation or request.calibration
    return Judge.of(engine, request.metric, data, request.output) if data is not None else None


def _float_form(simplified: Simplified, threads: int) -> Candidate:
    kept = ", ".join(step.name for step in simplified.steps if step.kept)
    return Candidate("fp32-simplified", f"as given, simplified: {kept}", simplified.data, SessionSettings(threads))


def _quantized_forms(
    data: bytes, schemes: tuple[Scheme, ...], sample: dict[str, Array], request: Request, progress: Progress
) -> list[Candidate]:
    ranges: dict[str, tuple[float, float]] = {}
    if request.calibration is not None and any(isinstance(scheme, Int8Static) for scheme in schemes):

        def observed(done: int, total: int) -> None:
            progress("observing activations", done, total)

        ranges = observe_ranges(data, tensors_to_observe(data), request.calibration, observed)
    return [build(data, scheme, ranges, request.threads, sample) for scheme in schemes]


def _int8_missing(candidates: list[Candidate], nothing: str | None) -> BudgetNotMet:
    reasons = "; ".join(f"{c.name}: {c.rejected}" for c in candidates if c.scheme is not None)
    return BudgetNotMet(
        "E-BUDGET-INT8",
        f"no int8 form came through: {nothing or reasons or 'the target has no int8 kernels'}",
        "allow more with --max-drop, give more calibration data, or drop --require int8 to get float32",
    )
