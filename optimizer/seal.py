"""The last step: manifest, golden samples and the chosen models become a package."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from devices.profile import Device
from edge_runtime.inference import engines
from edge_runtime.inference.batch import run_all
from edge_runtime.inference.engine import Array
from edge_runtime.inference.ort import GUARD, OrtEngine
from edge_runtime.package import golden
from edge_runtime.package.manifest import (
    FEATURES_FORMAT,
    FORMAT,
    Evidence,
    Golden,
    Latency,
    Manifest,
    Needs,
    Rejected,
    Source,
    Variant,
)
from optimizer.candidates import Candidate
from optimizer.feature_data import noise
from optimizer.for_target import Job, Outcome
from optimizer.load import LoadedModel
from optimizer.needs import needs_of, provider_of
from optimizer.reasons import reason
from optimizer.request import Request
from optimizer.saturation import needs_of_sums
from optimizer.tools import versions

GOLDEN_SAMPLES = 16
_GOLDEN_FILE = "golden.npz"
_ANYWHERE = Needs()
# Words of /proc/cpuinfo that mean the same multiplier; the fastest first, as the runtime takes the first that fits.
_KERNELS = {
    "avx512_vnni": ("avx512_vnni", "avx_vnni"),
    "avx_vnni": ("avx512_vnni", "avx_vnni"),
    "avx2": ("avx2",),
    "i8mm": ("i8mm",),
    "asimddp": ("asimddp",),
    "asimd": ("asimd",),
}


@dataclass(frozen=True)
class _Sealed:
    """A form that goes into the package: what it is, for whom, and what is known of it there."""

    form: Candidate
    machine: str
    devices: tuple[Device, ...] = ()
    needs: Needs = _ANYWHERE
    evidence: tuple[Evidence, ...] = ()


def seal(job: Job, outcomes: Sequence[Outcome]) -> tuple[Manifest, dict[str, bytes]]:
    """Return manifest and members of the package; golden outputs are computed by the code that will serve them.

    One form that is best for several targets is one variant. Where forms differ, each needs its own target's
    instructions, the most particular first; the user's own model follows for all other machines. It also follows
    where it is asked for, and never where a form that runs anywhere is there already: it is several times as large.

    Args:
        job: What was built.
        outcomes: What came out for each target.
    """
    model, request = job.model, job.request
    data = request.samples
    inputs = data.head(GOLDEN_SAMPLES) if data is not None else dict(job.terms.sample)
    forms = [*_gpu_forms(outcomes), *_forms(job, outcomes)]
    outputs = {one.form.name: run_all(one.form.engine(), inputs) for one in forms}
    files = {one.form.name: f"variants/{one.form.name}.onnx" for one in forms}
    features = request.identity.features
    manifest = Manifest(
        format=FORMAT if features is None else FEATURES_FORMAT,
        name=request.identity.name or model.path.stem,
        version=request.identity.version,
        target=", ".join(outcome.target.name for outcome in outcomes),
        inputs=model.inputs,
        outputs=model.outputs,
        preprocess=request.identity.preprocess,
        variants=tuple(_variant(one, files[one.form.name], outputs[one.form.name]) for one in forms),
        golden=Golden(_GOLDEN_FILE, samples=len(next(iter(inputs.values()))), synthetic=data is None),
        chosen_because="; ".join(_reasons(job, outcomes)),
        rejected=tuple(_rejected(outcomes)),
        source=_source(model, request, forms),
        decision=request.identity.decision,
        features=msgspec.UNSET if features is None else features,
    )
    members = {files[one.form.name]: one.form.data for one in forms}
    return manifest, {**members, _GOLDEN_FILE: golden.encode(inputs, outputs, _windows(request, inputs))}


def _windows(request: Request, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return the raw windows that the golden inputs are features of; none where the model takes no features."""
    if request.identity.features is None:
        return {}
    (name, array), *_ = inputs.items()
    data = request.samples
    if data is None or data.raw is None:
        return {name: noise(request.identity.features, len(array))}
    return data.raw.head(len(array))


def _gpu_forms(outcomes: Sequence[Outcome]) -> list[_Sealed]:
    """Return the forms that a board's GPU is to try before its processor does; they are the same for all boards."""
    found: dict[str, _Sealed] = {}
    for outcome in outcomes:
        for form in outcome.unmeasured:
            sealed = _Sealed(form, outcome.machine, (outcome.target.device,), needs_of(form.scheme))
            found.setdefault(form.name, sealed)
    return list(found.values())


def _forms(job: Job, outcomes: Sequence[Outcome]) -> list[_Sealed]:
    """Return what goes into the package, in the order that a device tries it, under names of their own."""
    found: list[_Sealed] = []
    for outcome in outcomes:
        evidence = () if outcome.evidence is None else (outcome.evidence,)
        form = outcome.chosen
        new = _Sealed(form, outcome.machine, (outcome.target.device,), _needs_of(form), evidence)
        same = next((place for place, one in enumerate(found) if _is_same(one.form, new.form)), None)
        if same is not None:
            one = found[same]
            devices = (*one.devices, outcome.target.device)
            found[same] = replace(one, devices=devices, evidence=(*one.evidence, *evidence))
            continue
        if new.form.name in {one.form.name for one in found}:
            suffix = re.sub(r"[^a-z0-9]+", "-", outcome.target.name.lower()).strip("-")
            new = replace(new, form=replace(new.form, name=f"{new.form.name}-{suffix}"))
        found.append(new)
    if len(found) > 1:
        found = [replace(one, needs=_needs_beside_others(one)) for one in sorted(found, key=_particular)]
    own = outcomes[0].candidates[0]
    mine = next((one for one in found if _is_same(one.form, own)), None)
    if mine is None:
        if job.request.also_float32 or all(one.needs != _ANYWHERE for one in found):
            found.append(_Sealed(own, outcomes[0].machine))
        return found
    others = [one for one in found if one is not mine]
    if any(_fits(one.needs, device) for one in others[found.index(mine) :] for device in mine.devices):
        return found  # behind them it would not be reached on the machine it is best for
    return [*others, replace(mine, needs=_ANYWHERE)]


def _fits(needs: Needs, device: Device) -> bool:
    return device.isa in needs.isa and not {*needs.features}.isdisjoint(device.features)


def _is_same(one: Candidate, other: Candidate) -> bool:
    return (one.data, one.settings, one.engine_name) == (other.data, other.settings, other.engine_name)


def _particular(one: _Sealed) -> int:
    """Return the place of a form among those that a device may fit, the most particular first."""
    order = list(_KERNELS)
    return max(order.index(each.int8_kernels) if each.int8_kernels in order else len(order) for each in one.devices)


def _needs_of(form: Candidate) -> Needs:
    """Return where a form computes right, whatever it was built for."""
    if needs_of(form.scheme) != _ANYWHERE:
        return needs_of(form.scheme)
    engine = form.engine()  # other engines than onnxruntime have no guard
    is_guarded = isinstance(engine, OrtEngine) and form.settings.config.get(GUARD, "1") == "1" and engine.int8_is_exact
    return needs_of_sums(form.data, guarded=is_guarded)


def _needs_beside_others(one: _Sealed) -> Needs:
    """Return what tells a form's targets from those of the other forms; where it computes right still holds."""
    if needs_of(one.form.scheme) != _ANYWHERE:
        return one.needs  # its arithmetic tells its targets already
    kernels = tuple(dict.fromkeys(word for each in one.devices for word in _KERNELS.get(each.int8_kernels, ())))
    right = tuple(word for word in kernels if word in one.needs.features) if one.needs.features else kernels
    return Needs(isa=tuple(sorted({each.isa for each in one.devices})), features=right or one.needs.features)


def _reasons(job: Job, outcomes: Sequence[Outcome]) -> Iterator[str]:
    for outcome in outcomes:
        if job.model.reduced_from:
            said = f"the only form: {job.nothing}"
        else:
            said = reason(outcome.chosen, outcome.candidates[0].name, job.nothing, outcome.target.where)
        yield said if len(outcomes) == 1 else f"{outcome.target.name}: {outcome.chosen.name}, {said}"


def _rejected(outcomes: Sequence[Outcome]) -> Iterator[Rejected]:
    for outcome in outcomes:
        of = "" if len(outcomes) == 1 else f"{outcome.target.name}: "
        yield from (Rejected(lost.name, f"{of}{lost.rejected}") for lost in outcome.candidates if lost.rejected)


def _variant(one: _Sealed, file: str, outputs: Mapping[str, Array]) -> Variant:
    form = one.form
    # Another processor may round an int8 sum across a step; that moves a few steps, not the answer.
    share, relative = (1e-4, 1e-3) if form.scheme is None else (2e-2, 2e-2)
    return Variant(
        name=form.name,
        file=file,
        precision=form.precision,
        tolerance=golden.tolerance_for(outputs, share, relative),
        session=form.settings.config,
        threads=form.settings.threads,
        accuracy=form.accuracy,
        latency=_latency(form, one.machine),
        engine=form.engine_name,
        provider=provider_of(form.scheme),
        needs=one.needs,
        evidence=(*_evidence(form, one.machine, len(next(iter(outputs.values())))), *one.evidence),
    )


def _latency(form: Candidate, machine: str) -> Latency | None:
    if form.speedup is None:
        return None
    return Latency(
        milliseconds=form.milliseconds.value if form.milliseconds else None,
        speedup=form.speedup.value,
        low=form.speedup.low,
        high=form.speedup.high,
        threads=form.settings.threads,
        label=form.label,
        machine=machine,
        quantity=form.quantity,
    )


def _evidence(chosen: Candidate, machine: str, samples: int) -> tuple[Evidence, ...]:
    """Return what held another engine's outputs against onnxruntime's of the same file, on the golden samples."""
    if not chosen.is_elsewhere:
        return ()
    executed = f"{chosen.engine_name} {engines.version_of(chosen.engine_name)}"
    value = chosen.accuracy.value if chosen.accuracy else None
    agreement = chosen.agreement
    return (Evidence("local", "measured", machine, executed, samples, agreement is None, agreement, value),)


def _source(model: LoadedModel, request: Request, forms: Sequence[_Sealed]) -> Source:
    return Source(
        model=model.path.name,
        model_sha256=model.sha256,
        calibration_sha256=request.calibration.sha256 if request.calibration else None,
        evaluation_sha256=request.evaluation.sha256 if request.evaluation else None,
        tools={name: version for one in forms for name, version in versions(one.form.engine_name).items()},
    )
