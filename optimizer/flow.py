"""The whole flow on one page: check, judge, then for each target make, time, choose and verify forms, and seal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edge_runtime.inference.ort import SessionSettings
from optimizer.cache import Cache
from optimizer.candidates import Candidate, judge
from optimizer.caveats import caveats
from optimizer.engine_audit import audited
from optimizer.evaluate import Judge
from optimizer.for_target import Job, Outcome, best_for
from optimizer.graph import WEIGHTED_OPS
from optimizer.lint import Finding, lint
from optimizer.load import LoadedModel
from optimizer.load_large import SESSION
from optimizer.reasons import int8_missing
from optimizer.recipe import Recipe
from optimizer.report.build import with_report
from optimizer.report.evidence import evidence_of
from optimizer.request import Request
from optimizer.result import Cached, Result
from optimizer.schemes import Int8Weights
from optimizer.seal import seal
from optimizer.search import Progress
from optimizer.stopwatch import pin
from optimizer.target import all_of
from optimizer.workbench import Terms

_CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})


def optimize(model: LoadedModel, request: Request, progress: Progress = lambda stage, done, total: None) -> Result:
    """Find, for each target, the fastest form of the model inside the budget; the user's own where there is none.

    Raises:
        BadInput: the data or the metric do not fit the model, E-TARGET-UNKNOWN or E-EXECUTOR-UNKNOWN.
        BudgetNotMet: E-BUDGET-INT8, `require_int8` is set and no int8 form came through; E-TARGET-UNVERIFIED.
        EnvironmentFault: E-EXECUTOR-LOST; of a target over ssh E-PLACE-….
        Refused: E-TARGET-DISAGREES, a target computes something else, whatever the form; E-TARGET-THROTTLED.
    """
    targets = all_of(request.targets, progress)
    findings = lint(model.data, request.calibration, request.evaluation)
    cache = Cache(request.cache)
    pin(cache, request.measurements)
    job = _job(model, request, cache, progress)
    outcomes = [best_for(target, job) for target in targets]
    for outcome in outcomes:
        if request.require_int8 and outcome.chosen.scheme is None:
            raise int8_missing(outcome.candidates, job.nothing, request)
    cache.trim()
    sealed = _sealed(job, outcomes, findings)
    return replace(sealed, cached=Cached(cache.hits, cache.hits + cache.misses, cache.trouble))


def _job(model: LoadedModel, request: Request, cache: Cache, progress: Progress) -> Job:
    """Judge the user's own model: what every form, for whatever target, is held against."""
    nothing = nothing_to_quantize(model)
    original = _original(model, nothing, request.threads)
    engine, data = original.engine(), request.samples
    # Of a model that was too large to be read as float32 there is nothing to compare with.
    judged = data is not None and not model.reduced_from
    by = Judge.of(engine, request.metric, data, request.output, request.confidence) if judged and data else None
    own = judge(original, by, request.budget)
    job = Job(model, own, nothing, Terms({}, by, request.budget, request.threads), request, cache, progress)
    return replace(job, terms=replace(job.terms, sample=job.samples(1)))


def _sealed(job: Job, outcomes: Sequence[Outcome], findings: tuple[Finding, ...]) -> Result:
    """Return the chosen forms as a package with its report, which is about the first target and names the others."""
    model, request, by, sample = job.model, job.request, job.terms.by, job.terms.sample
    manifest, members = seal(job, outcomes)
    first = outcomes[0]
    account = replace(first.account, findings=findings)
    doubts = dict.fromkeys(doubt for outcome in outcomes for doubt in outcome.doubts)
    unproved = caveats(model, first.chosen, account, request, first.target.device)
    return with_report(
        Result(
            manifest=manifest,
            members=members,
            chosen=first.chosen,
            candidates=tuple(first.candidates),
            original_bytes=model.file_bytes,
            machine=first.machine,
            executed=audited(first.chosen, {name: array.shape for name, array in sample.items()}),
            warnings=(*unproved, *(by.doubts() if by else ()), *doubts),
            evidence=evidence_of(model, request, account, first.chosen, by.reference_value if by else None),
            others=tuple(outcomes[1:]),
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
