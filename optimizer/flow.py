"""The whole flow on one page: load, simplify, observe once, quantize, judge, time, choose, seal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite

from benchmarks.inputs import synthetic_feeds
from devices import profile
from edge_runtime.errors import BadInput, BudgetNotMet
from edge_runtime.inference.batch import batch_size_of
from edge_runtime.inference.engine import Array, Feeds
from edge_runtime.inference.ort import OrtEngine, SessionSettings
from optimizer.audit import audit
from optimizer.budget import nearest_budget
from optimizer.calibrate.observe import observe_ranges
from optimizer.candidates import Candidate, Ranges, build, choose, gate, judge, time_all
from optimizer.caveats import caveats
from optimizer.data import Dataset
from optimizer.evaluate import Judge
from optimizer.graph import WEIGHTED_OPS
from optimizer.load import LoadedModel
from optimizer.load_large import SESSION
from optimizer.quantize import tensors_to_observe
from optimizer.request import Request
from optimizer.result import Result
from optimizer.schemes import Int8Static, Int8Weights, Scheme, schemes_for
from optimizer.seal import Choice, seal
from optimizer.search import Progress, StaticSearch
from optimizer.simplify import Simplified, simplify

_CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})


def optimize(model: LoadedModel, request: Request, progress: Progress = lambda stage, done, total: None) -> Result:
    """Find the fastest form of the model inside the budget; the user's own float32 model where there is none.

    Raises:
        BadInput: the data or the metric do not fit the model, or E-TARGET-UNKNOWN.
        BudgetNotMet: E-BUDGET-INT8, `require_int8` is set and no int8 form came through.
    """
    device = _device(request.target)
    nothing = nothing_to_quantize(model)
    original = _original(model, nothing, request.threads)
    engine = original.engine()
    sample = _one_sample(engine, request)
    by = None if model.reduced_from else _judge(engine, request)  # there is no float32 model to compare with
    simplified = simplify(model.data, sample) if nothing is None else Simplified(model.data, ())
    candidates = [judge(original, by, request.budget)]
    if nothing is None:
        schemes = schemes_for(device, model, calibrated=request.calibration is not None)
        candidates += _other_forms(original, simplified, schemes, _Around(sample, by, request, progress))
    own, *others = time_all(candidates, sample, request.plan, partial(progress, "timing"))
    candidates = [own, *(gate(candidate) for candidate in others)]
    chosen = choose(candidates)
    if request.require_int8 and chosen.scheme is None:
        raise _int8_missing(candidates, nothing, request)
    reason = f"the only form: {nothing}" if model.reduced_from else _reason(chosen, original.name, nothing)
    choice = Choice(chosen, candidates, reason)
    manifest, members = seal(model, choice, sample, request)
    executed = audit(chosen.data, chosen.settings)
    warnings = (*caveats(model, chosen, simplified.steps, request), *(by.doubts() if by else ()))
    return Result(manifest, members, chosen, tuple(candidates), model.file_bytes, executed, warnings)


def nothing_to_quantize(model: LoadedModel) -> str | None:
    """Return why a model is passed through as it is, None where there is work to do."""
    if model.reduced_from:
        return "it holds more than 2 GiB, so its weights became int8 while it was read, and nothing else was tried"
    if model.already_quantized:
        return f"the model is already quantized (it holds {', '.join(model.already_quantized)})"
    if not model.weights:
        bodies = sorted(_CONTROL_FLOW & set(model.operators))
        if bodies:
            return f"what could be quantized lies inside control flow ({', '.join(bodies)}), which stays float"
        found = ", ".join(list(model.operators)[:5])
        return f"it has no {', '.join(WEIGHTED_OPS)} with constant float32 weights (it is made of {found})"
    return None


def _original(model: LoadedModel, nothing: str | None, threads: int) -> Candidate:
    if model.reduced_from:
        # Not restored when loaded, as Int8Weights' own session does: that takes the memory of the float32 model.
        scheme = Int8Weights(session=SESSION)
        return Candidate(scheme.name, scheme.precision, model.data, SessionSettings(threads), scheme)
    return Candidate("as-given" if nothing else "fp32", "as given", model.data, SessionSettings(threads))


def _device(name: str) -> profile.Device:
    try:
        return profile.load(name)
    except KeyError as error:
        known = ", ".join(profile.names())
        raise BadInput("E-TARGET-UNKNOWN", f"there is no target {name}", f"use one of: {known}") from error


def _one_sample(engine: OrtEngine, request: Request) -> dict[str, Array]:
    data = request.evaluation or request.calibration
    if data is not None:
        return data.head(batch_size_of(engine, 1))
    return synthetic_feeds(engine, request.shapes)


def _judge(engine: OrtEngine, request: Request) -> Judge | None:
    data = request.evaluation or request.calibration
    return Judge.of(engine, request.metric, data, request.output, request.confidence) if data is not None else None


@dataclass(frozen=True)
class _Around:
    """What every form is built, judged and reported with."""

    sample: Feeds
    by: Judge | None
    request: Request
    progress: Progress


def _other_forms(
    original: Candidate, simplified: Simplified, schemes: Sequence[Scheme], around: _Around
) -> list[Candidate]:
    """Return every form worth timing, judged: the simplified float32 model and what the schemes make of it."""
    request, data = around.request, simplified.data
    rewritten = any(step.kept for step in simplified.steps)
    forms = [_float_form(simplified, request.threads)] if rewritten else []
    forms += [build(data, s, {}, request.threads, around.sample) for s in schemes if not isinstance(s, Int8Static)]
    judged = [judge(form, around.by, request.budget) for form in forms]
    if request.calibration is None or around.by is None or Int8Static() not in schemes:
        return judged
    ranges = _ranges(data, request.calibration, around.progress)
    search = StaticSearch(original, data, ranges, around.sample, around.by, request.budget)
    return [*judged, *search.run(request.effort, around.progress)]


def _ranges(data: bytes, calibration: Dataset, progress: Progress) -> Ranges:
    return observe_ranges(data, tensors_to_observe(data), calibration, partial(progress, "observing activations"))


def _float_form(simplified: Simplified, threads: int) -> Candidate:
    kept = ", ".join(step.name for step in simplified.steps if step.kept)
    return Candidate("fp32-simplified", f"as given, simplified: {kept}", simplified.data, SessionSettings(threads))


def _reason(chosen: Candidate, original: str, nothing: str | None) -> str:
    if nothing is not None:
        return f"passed through unchanged: {nothing}"
    speedup = chosen.speedup.value if chosen.speedup else 1.0
    if chosen.name == original:
        return "the model as given is the best: no other form was both inside the budget and worth it"
    if isinstance(chosen.scheme, Int8Weights):
        return f"smallest form that is not slower than float32 ({speedup:.2f} x)"
    return f"fastest form inside the budget: {speedup:.2f} x float32"


def _int8_missing(candidates: list[Candidate], nothing: str | None, request: Request) -> BudgetNotMet:
    reasons = "; ".join(f"{c.name}: {c.rejected}" for c in candidates if c.scheme is not None)
    nearest = _nearest(candidates, request)
    return BudgetNotMet(
        "E-BUDGET-INT8",
        f"no int8 form came through: {nothing or reasons or 'the target has no int8 kernels'}",
        f"{nearest or 'allow more with --max-drop'}, give more calibration data, or drop --require int8 to get float32",
    )


def _nearest(candidates: Sequence[Candidate], request: Request) -> str | None:
    """Return the option that lets the int8 form in that lost least, None where the budget kept none out."""
    budget, metric = request.budget, request.metric
    lost = []
    for candidate in candidates:
        found = candidate.accuracy
        if candidate.scheme is None or found is None:
            continue
        loss = found.loss_high if budget.certain else found.loss
        if isfinite(loss) and not budget.is_met(metric, loss, found.reference):
            lost.append((loss, candidate.name, found))
    if not lost:
        return None
    _, name, least = min(lost, key=lambda entry: entry[:2])
    allowed = nearest_budget(metric, least, budget.relative, certain=budget.certain)
    return f"allow more: {name} loses least and needs --max-drop {allowed}"
