"""The best form of a model for one target: made, timed by who knows that machine, chosen, and held against it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.inputs import synthetic_feeds
from devices.host import detect
from devices.places.emulated import EmulatedPlace
from devices.profile import LOCAL, load
from edge_runtime.errors import BudgetNotMet, EnvironmentFault, Refused
from edge_runtime.inference.batch import batch_size_of
from edge_runtime.inference.engine import Array
from edge_runtime.package.manifest import Evidence
from optimizer.account import Account
from optimizer.at_target import Verifier, samples_for
from optimizer.cache import Cache
from optimizer.candidates import Candidate, choose, gate
from optimizer.elsewhere import InstructionCounter, Predictor, RemoteStopwatch
from optimizer.executor import opened
from optimizer.feature_data import features_of_noise
from optimizer.forms import Means, Shop
from optimizer.load import LoadedModel
from optimizer.needs import provider_of
from optimizer.request import Request
from optimizer.schemes import schemes_for
from optimizer.search import Progress
from optimizer.stopwatch import Stopwatch
from optimizer.target import Target
from optimizer.threads import tuned
from optimizer.tools import versions
from optimizer.workbench import Terms

_VERIFYING_SAMPLES = 8  # every rewrite must leave the outputs of these as they were


@dataclass(frozen=True)
class Job:
    """What is the same for every target.

    Attributes:
        model: The user's model.
        own: It as a candidate, judged.
        nothing: Why there is nothing to quantize, None where there is.
        terms: What forms are tried and judged with.
        request: What the user asked for.
        cache: What was computed before.
        progress: Told about every stage.
    """

    model: LoadedModel
    own: Candidate
    nothing: str | None
    terms: Terms
    request: Request
    cache: Cache
    progress: Progress

    def samples(self, count: int) -> dict[str, Array]:
        """Return a few of the user's samples, or noise of the right shape where he gave none."""
        engine, data = self.own.engine(), self.request.samples
        if data is not None:
            return data.head(batch_size_of(engine, count))
        if (features := self.request.identity.features) is not None:
            return features_of_noise(
                features, self.request.identity.preprocess, self.model.inputs, batch_size_of(engine, count)
            )
        return synthetic_feeds(engine, self.request.shapes)


@dataclass(frozen=True)
class Outcome:
    """What came out for one target.

    Attributes:
        target: The target.
        chosen: The best form.
        candidates: All of them, the user's own model first, each with the reason if it is out.
        machine: What the speed-ups are of, in words.
        account: How it came about.
        evidence: What the chosen form was seen to compute there, None where nothing ran.
        doubts: What is not proved, one sentence each.
        unmeasured: Forms for a GPU that the target has: inside the budget, and never executed on one.
    """

    target: Target
    chosen: Candidate
    candidates: Sequence[Candidate]
    machine: str
    account: Account
    evidence: Evidence | None = None
    doubts: tuple[str, ...] = ()
    unmeasured: tuple[Candidate, ...] = ()


def best_for(target: Target, job: Job) -> Outcome:
    """Return the best form for a target.

    Raises:
        BudgetNotMet: E-TARGET-UNVERIFIED, that was required and nothing runs there.
        EnvironmentFault: E-EXECUTOR-LOST; E-PLACE-…, of the board itself.
        Refused: E-TARGET-DISAGREES, no form computes there what it computes here; E-TARGET-THROTTLED.
    """
    keeper, doubts = _timekeeper(target, job)
    made, account = _forms(target, keeper, job)
    forms = [form for form in made if provider_of(form.scheme) == "cpu"]  # who judges speed here has no GPU
    unmeasured, lost = _for_gpu(made)
    own, *timed = keeper.timed([job.own, *forms], job.request.plan, partial(job.progress, "timing"))
    candidates = [own, *(gate(candidate, target.where) for candidate in timed), *lost]
    while True:
        chosen, candidates = _chosen(candidates, target, keeper, job)
        checked, evidence, trouble = _verified(chosen, target, job)
        candidates = [checked if candidate is chosen else candidate for candidate in candidates]
        if not checked.rejected:
            break
    if evidence is None and target.name != LOCAL:
        doubts += (_unverified(target, trouble, job.request),)
    if target.is_here and target.name != LOCAL:
        doubts += (f"latency was measured here, not on {target.name}: measure there with --target ssh://USER@HOST",)
    doubts += tuple(
        f"{form.name} was never executed on a GPU: the board tries it first, and serves it where golden samples are met"
        for form in unmeasured
    )
    anew = keeper.anew if job.request.measurements else 0
    account = replace(account, timings=tuple(keeper.taken), anew=anew)
    if isinstance(keeper, RemoteStopwatch):
        doubts += keeper.said
    return Outcome(target, checked, candidates, keeper.machine, account, evidence, doubts, unmeasured)


def _for_gpu(made: Sequence[Candidate]) -> tuple[tuple[Candidate, ...], list[Candidate]]:
    """Return the forms for a GPU that are in, and those that are out; rewrites for CPU kernels gain nothing there."""
    found = [form for form in made if provider_of(form.scheme) != "cpu" and not form.base]
    return tuple(form for form in found if not form.rejected), [form for form in found if form.rejected]


def _timekeeper(target: Target, job: Job) -> tuple[Stopwatch, tuple[str, ...]]:
    """Return who judges speed for a target, and what is to be said of that."""
    sample, tools, cache, device = job.terms.sample, versions(), job.cache, target.device
    if target.is_here:
        return Stopwatch(sample, job.request.machine or str(detect()), tools, cache), ()
    if target.is_remote and target.place is not None:
        return RemoteStopwatch(sample, target.machine, tools, cache, place=target.place), ()
    why = "its processor is none that is emulated"
    if isinstance(target.place, EmulatedPlace):
        machine = f"{device.title}, instructions of an emulated {device.emulator_cpu}"
        counter = InstructionCounter(sample, machine, tools, cache, place=target.place)
        try:
            counter.timed([job.own], job.request.plan, partial(job.progress, f"emulating {target.name}"))
        except EnvironmentFault as error:
            why = error.message
        else:
            return counter, (_direction(target, "fewer instructions than float32, counted under emulation"),)
    words = f"formulas for {device.int8_kernels or 'no int8 kernels'}, fitted on other processors"
    said = f"NO INSTRUCTION WAS COUNTED for {target.name}: {why}; {_direction(target, words)}"
    return Predictor(sample, f"{device.title}, by formulas", tools, cache, kernels=device.int8_kernels), (said,)


def _direction(target: Target, words: str) -> str:
    return (
        f"its speed on {target.name} is a predicted direction ({words}), not a time: measure on the board with "
        "--target ssh://USER@HOST"
    )


def _forms(target: Target, keeper: Stopwatch, job: Job) -> tuple[list[Candidate], Account]:
    if job.nothing is not None:
        return [], Account(simplified=job.model.data)
    schemes = schemes_for(target.device, job.model, calibrated=job.request.calibration is not None)
    # Where times are taken here, the model of costs is of this machine, whatever the package is for.
    kernels = (load(LOCAL) if target.is_here else target.device).int8_kernels
    with opened(job.request.executor) as workers:
        means = Means(keeper, kernels, job.cache, workers, job.progress)
        request = replace(job.request, target=target.name, more_targets=())  # other engines are tried here alone
        return Shop(job.own, job.terms, request, means).forms(schemes, job.samples(_VERIFYING_SAMPLES))


def _chosen(
    candidates: list[Candidate], target: Target, keeper: Stopwatch, job: Job
) -> tuple[Candidate, list[Candidate]]:
    """Return the best candidate that is in, with the threads it is served with, and all of them."""
    if all(candidate.rejected for candidate in candidates):
        raise Refused(
            "E-TARGET-DISAGREES",
            f"no form of the model computes at {target.name} what it computes here: {candidates[0].rejected}",
            "install the onnxruntime of this machine there; compare the outputs with `edgeopt verify`",
        )
    chosen = choose(candidates)
    if not job.request.tune_threads or keeper.quantity != "time":
        return chosen, candidates
    cores = target.device.cores if target.is_remote else os.cpu_count() or 1
    progress = partial(job.progress, "trying more threads")
    threaded = tuned((candidates[0], chosen), keeper, cores, job.request.plan, progress)
    return threaded, [threaded if candidate is chosen else candidate for candidate in candidates]


def _verified(chosen: Candidate, target: Target, job: Job) -> tuple[Candidate, Evidence | None, str | None]:
    """Return the form, rejected where it computes something else at the target, what was seen, or why nothing was."""
    if target.place is None:
        return chosen, _seen_here(chosen, target), None
    if job.model.reduced_from:
        return chosen, None, "a model of more than 2 GiB is not sent anywhere"
    data = job.request.samples
    samples = job.samples(1) if data is None else data.head(samples_for(target.place, data))
    progress = partial(job.progress, f"verifying at {target.name}")
    verifier = Verifier(target, target.place, samples, job.terms, job.cache, progress)
    try:
        return (*verifier.verified(chosen), None)
    except EnvironmentFault as error:
        if target.is_remote:
            raise
        return chosen, None, error.message


def _seen_here(chosen: Candidate, target: Target) -> Evidence | None:
    """Return what this machine, which multiplies as the target does, stands for."""
    if not target.is_here or target.name == LOCAL:
        return None
    found = chosen.accuracy
    return Evidence(
        place=LOCAL,
        label="measured",
        machine=str(detect()),
        engine=f"onnxruntime {versions()['onnxruntime']}",
        samples=found.samples if found else 1,
        exact=True,
        accuracy=found.value if found else None,
    )


def _unverified(target: Target, trouble: str | None, request: Request) -> str:
    """Say that nothing ran at the target, or fail where that was required."""
    why = trouble or "its processor is none that is emulated"
    if request.require_verified:
        raise BudgetNotMet(
            "E-TARGET-UNVERIFIED",
            f"nothing ran at {target.name}: {why}",
            "name the board itself, --target ssh://USER@HOST, or drop --require verified",
        )
    return f"ITS ANSWERS ON {target.name} ARE UNVERIFIED: nothing ran there: {why}"
