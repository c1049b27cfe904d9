"""What the user should know before he trusts a result."""

from __future__ import annotations

from collections.abc import Iterator

from devices.profile import LOCAL, load
from edge_runtime.inference.ort import OrtEngine
from optimizer.account import Account
from optimizer.candidates import Candidate
from optimizer.load import LoadedModel
from optimizer.request import Request
from optimizer.saturation import saturating_layers

_WIDE_BELOW = 100  # evaluation samples


def caveats(model: LoadedModel, chosen: Candidate, account: Account, request: Request) -> tuple[str, ...]:
    """Return one plain sentence per thing that was not proved or not done, each with what would help."""
    found = [*_about_accuracy(model, chosen, request), *_about_data(account, request)]
    found += [f"rewrite rolled back: {step.name}: {step.note}" for step in account.rewrites if step.wrong]
    if account.anew:
        found.append(
            f"{account.anew} of {len(account.timings)} comparisons were not among the given measurements and were "
            "taken here, now: the model, data, options or tools are not those of that package"
        )
    found += account.notes
    engine = chosen.engine()
    if isinstance(engine, OrtEngine) and not engine.int8_is_exact:
        found.append(
            "int8 products saturate on this processor and onnxruntime's guard does not take this model: "
            "a processor with VNNI or an Arm board may answer differently"
        )
    found += _about_saturation(chosen, account, request)
    if request.target != LOCAL:
        found.append(f"latency was measured here, not on {request.target}: measure there with edgeopt benchmark")
    return tuple(found)


def _about_saturation(chosen: Candidate, account: Account, request: Request) -> Iterator[str]:
    """Say what another x86 would compute: on one with VNNI nothing shows it."""
    if chosen.scheme is None or load(request.target).isa != "x86_64" or not (risky := saturating_layers(chosen.data)):
        return
    seen = account.bases[chosen.base].histograms if chosen.base in account.bases else {}
    yield (
        f"{len(risky)} int8 layers have sums that may exceed 16 bits, {len(saturating_layers(chosen.data, seen))} of "
        "them with the activations seen. x86 without VNNI computes those wrong unless session.x64quantprecision is 1: "
        "edgeopt sets it by itself there, other programs do not, and it takes time; for such machines build with "
        "--target x86-64-avx2"
    )


def _about_accuracy(model: LoadedModel, chosen: Candidate, request: Request) -> Iterator[str]:
    if model.reduced_from:
        yield (
            "accuracy is UNVERIFIED: the model holds more than 2 GiB and its float32 form was not run; compare the "
            "outputs of this package with those of your own program. Weights stay int8 in memory"
        )
        return
    if request.samples is not None:
        if request.evaluation is None:
            yield "accuracy was measured on the calibration samples and is optimistic: give --evaluation"
        yield from _about_certainty(chosen, request)
        yield from _about_width(chosen)
        return
    command = (
        f"edgeopt quantize {model.path} --calibration CALIBRATION.npz --evaluation TEST.npz "
        "--metric top1 --max-drop 1pt"
    )
    if chosen.scheme is not None:
        yield f"accuracy is UNVERIFIED: there are no data to check it with. This command verifies it: {command}"
    elif model.weights and not model.already_quantized:
        yield f"without data only data-free forms were tried. This command tries and verifies the others: {command}"


def _about_certainty(chosen: Candidate, request: Request) -> Iterator[str]:
    found = chosen.accuracy
    if found is None or chosen.scheme is None or request.budget.certain:
        return
    if not request.budget.is_met(request.metric, found.loss_high, found.reference):
        yield (
            f"the measured loss is inside the budget of {request.budget}, but with {found.samples} samples it may be "
            f"as large as {found.loss_high:.4f}: give more, or demand certainty with --confidence 0.95"
        )


def _about_width(chosen: Candidate) -> Iterator[str]:
    found = chosen.accuracy
    if found is not None and found.samples < _WIDE_BELOW:
        yield (
            f"only {found.samples} evaluation samples: an interval from so few ({found.metric} {found.low:.4f} to "
            f"{found.high:.4f}) is wide and itself uncertain; a few hundred show more"
        )


def _about_data(account: Account, request: Request) -> Iterator[str]:
    yield from (f"{found.code}: {found.what}: {found.fix}" for found in account.findings)
    for data in (request.calibration, request.evaluation):
        if data is not None and data.ignored:
            yield f"{data.source}: arrays not used: {', '.join(data.ignored)}"
