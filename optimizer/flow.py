"""The whole flow on one page: load, check, simplify, observe once, quantize, judge, repair, time, choose, seal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import isfinite

from benchmarks.inputs import synthetic_feeds
from devices import profile
from devices.host import detect
from edge_runtime.errors import BadInput, BudgetNotMet
from edge_runtime.inference.batch import batch_size_of
from edge_runtime.inference.engine import Array, Engine
from edge_runtime.inference.ort import SessionSettings
from optimizer.account import Account
from optimizer.budget import nearest_budget
from optimizer.cache import Cache
from optimizer.candidates import Candidate, choose, gate, judge
from optimizer.caveats import caveats
from optimizer.engine_audit import audited
from optimizer.evaluate import Judge
from optimizer.executor import opened
from optimizer.forms import Means, Shop
from optimizer.graph import WEIGHTED_OPS
from optimizer.lint import lint
from optimizer.load import LoadedModel
from optimizer.load_large import SESSION
from optimizer.recipe import Recipe
from optimizer.report.build import with_report
from optimizer.report.evidence import evidence_of
from optimizer.request import Request
from optimizer.result import Cached, Result
from optimizer.schemes import Int8Weights, schemes_for
from optimizer.seal import Choice, seal
from optimizer.search import Progress
from optimizer.stopwatch import Stopwatch, pin
from optimizer.threads import tuned
from optimizer.tools import versions
from optimizer.workbench import Terms

_CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})
_VERIFYING_SAMPLES = 8  # every rewrite must leave the outputs of these as they were


def optimize(model: LoadedModel, request: Request, progress: Progress = lambda stage, done, total: None) -> Result:
    """Find the fastest form of the model inside the budget; the user's own float32 model where there is none.

    Raises:
        BadInput: the data or the metric do not fit the model, E-TARGET-UNKNOWN or E-EXECUTOR-UNKNOWN.
        BudgetNotMet: E-BUDGET-INT8, `require_int8` is set and no int8 form came through.
        EnvironmentFault: E-EXECUTOR-LOST.
    """
    device = _device(request.target)
    nothing = nothing_to_quantize(model)
    findings = lint(model.data, request.calibration, request.evaluation)
    original = _original(model, nothing, request.threads)
    engine = original.engine()
    by = None if model.reduced_from else _judge(engine, request)  # there is no float32 model to compare with
    terms = Terms(_samples(engine, request, 1), by, request.budget, request.threads)
    own = judge(original, by, request.budget)
    cache = Cache(request.cache)
    pin(cache, request.measurements)
    stopwatch = Stopwatch(terms.sample, request.machine or str(detect()), versions(), cache)
    forms: list[Candidate] = []
    account = Account(simplified=model.data)
    if nothing is None:
        schemes = schemes_for(device, model, calibrated=request.calibration is not None)
        with opened(request.executor) as workers:
            shop = Shop(own, terms, request, Means(stopwatch, cache, workers, progress))
            forms, account = shop.forms(schemes, _samples(engine, request, _VERIFYING_SAMPLES))
    own, *timed = stopwatch.timed([own, *forms], request.plan, partial(progress, "timing"))
    candidates = [own, *(gate(candidate) for candidate in timed)]
    chosen = choose(candidates)
    if request.require_int8 and chosen.scheme is None:
        raise _int8_missing(candidates, nothing, request)
    if request.tune_threads:
        alone = chosen
        chosen = tuned(alone, own, stopwatch, request.plan, partial(progress, "trying more threads"))
        candidates = [chosen if candidate is alone else candidate for candidate in candidates]
    cache.trim()
    anew = stopwatch.anew if request.measurements else 0
    account = replace(account, findings=findings, timings=tuple(stopwatch.taken), anew=anew)
    reason = f"the only form: {nothing}" if model.reduced_from else _reason(chosen, own.name, nothing)
    sealed = _sealed(model, Choice(chosen, candidates, reason, stopwatch.machine), terms, account, request)
    return replace(sealed, cached=Cached(cache.hits, cache.hits + cache.misses, cache.trouble))


def _sealed(model: LoadedModel, choice: Choice, terms: Terms, account: Account, request: Request) -> Result:
    """Return the chosen form as a package with its report."""
    manifest, members = seal(model, choice, terms.sample, request)
    by, chosen = terms.by, choice.chosen
    return with_report(
        Result(
            manifest=manifest,
            members=members,
            chosen=chosen,
            candidates=tuple(choice.candidates),
            original_bytes=model.file_bytes,
            executed=audited(chosen, {name: array.shape for name, array in terms.sample.items()}),
            warnings=(*caveats(model, chosen, account, request), *(by.doubts() if by else ())),
            evidence=evidence_of(model, request, account, chosen, by.reference_value if by else None),
        )
    )


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
        return Candidate(scheme.name, scheme.precision, model.data, SessionSettings(threads), Recipe(scheme))
    return Candidate("as-given" if nothing else "fp32", "as given", model.data, SessionSettings(threads))


def _device(name: str) -> profile.Device:
    try:
        return profile.load(name)
    except KeyError as error:
        known = ", ".join(profile.names())
        raise BadInput("E-TARGET-UNKNOWN", f"there is no target {name}", f"use one of: {known}") from error


def _samples(engine: Engine, request: Request, count: int) -> dict[str, Array]:
    """Return a few of the user's samples, or noise of the right shape where he gave none."""
    data = request.evaluation or request.calibration
    if data is not None:
        return data.head(batch_size_of(engine, count))
    return synthetic_feeds(engine, request.shapes)


def _judge(engine: Engine, request: Request) -> Judge | None:
    data = request.evaluation or request.calibration
    return Judge.of(engine, request.metric, data, request.output, request.confidence) if data is not None else None


def _reason(chosen: Candidate, original: str, nothing: str | None) -> str:
    if nothing is not None:
        return f"passed through unchanged: {nothing}"
    speedup = chosen.speedup.value if chosen.speedup else 1.0
    if chosen.name == original:
        return "the model as given is the best: no other form was both inside the budget and worth it"
    if chosen.scheme is not None and chosen.scheme.smaller_only:
        return f"smallest form that is not slower than float32 ({speedup:.2f} x)"
    return f"fastest form inside the budget: {speedup:.2f} x float32"


def _int8_missing(candidates: Sequence[Candidate], nothing: str | None, request: Request) -> BudgetNotMet:
    reasons = "; ".join(f"{c.name}: {c.rejected}" for c in candidates if c.scheme is not None)
    nearest = _nearest(candidates, request)
    return BudgetNotMet(
        "E-BUDGET-INT8",
        f"no int8 form came through: {nothing or reasons or 'the target has no int8 kernels'}",
        f"{nearest or _other_than_allowing_more(candidates)}, or drop --require int8 to get float32",
    )


def _other_than_allowing_more(candidates: Sequence[Candidate]) -> str:
    if any(candidate.scheme is not None and candidate.speedup is not None for candidate in candidates):
        return "the budget is met, int8 is just not faster on this machine: measure on one with VNNI or an Arm board"
    return "allow more with --max-drop, give more calibration data"


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
    return f"allow more: {name} loses least and needs --max-drop {allowed}; give more calibration data"
