"""The last step: manifest, golden samples and the chosen model become a package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_runtime.inference import engines
from edge_runtime.inference.batch import run_all
from edge_runtime.inference.engine import Array
from edge_runtime.inference.ort import GUARD, OrtEngine
from edge_runtime.package import golden
from edge_runtime.package.manifest import (
    FORMAT,
    Evidence,
    Golden,
    Latency,
    Manifest,
    Rejected,
    Source,
    Variant,
)
from optimizer.candidates import Candidate
from optimizer.load import LoadedModel
from optimizer.request import Request
from optimizer.saturation import needs_of_sums
from optimizer.tools import versions

GOLDEN_SAMPLES = 16
_GOLDEN_FILE = "golden.npz"


@dataclass(frozen=True)
class Choice:
    """The candidate to seal, all that were tried (the user's own model first), why it was taken, and the machine."""

    chosen: Candidate
    candidates: Sequence[Candidate]
    reason: str
    machine: str


def seal(
    model: LoadedModel, choice: Choice, sample: Mapping[str, Array], request: Request
) -> tuple[Manifest, dict[str, bytes]]:
    """Return manifest and members of the package; golden outputs are computed by the code that will serve them.

    Args:
        model: The user's model.
        choice: What to seal.
        sample: One sample that the model accepts, golden where the user gave no data.
        request: What the user asked for.
    """
    chosen = choice.chosen
    inputs = request.samples.head(GOLDEN_SAMPLES) if request.samples is not None else dict(sample)
    outputs = run_all(chosen.engine(), inputs)
    file = f"variants/{chosen.name}.onnx"
    manifest = Manifest(
        format=FORMAT,
        name=request.identity.name or model.path.stem,
        version=request.identity.version,
        target=request.target,
        inputs=model.inputs,
        outputs=model.outputs,
        preprocess=request.identity.preprocess,
        variants=(_variant(choice, file, outputs),),
        golden=Golden(_GOLDEN_FILE, samples=len(next(iter(inputs.values()))), synthetic=request.samples is None),
        chosen_because=choice.reason,
        rejected=tuple(Rejected(lost.name, lost.rejected) for lost in choice.candidates if lost.rejected),
        source=_source(model, request, chosen),
        decision=request.identity.decision,
    )
    return manifest, {file: chosen.data, _GOLDEN_FILE: golden.encode(inputs, {chosen.name: outputs})}


def _variant(choice: Choice, file: str, outputs: Mapping[str, Array]) -> Variant:
    chosen = choice.chosen
    # Another processor may round an int8 sum across a step; that moves a few steps, not the answer.
    share, relative = (1e-4, 1e-3) if chosen.scheme is None else (2e-2, 2e-2)
    return Variant(
        name=chosen.name,
        file=file,
        precision=chosen.precision,
        tolerance=golden.tolerance_for(outputs, share, relative),
        session=chosen.settings.config,
        threads=chosen.settings.threads,
        accuracy=chosen.accuracy,
        latency=_latency(chosen, choice.machine),
        engine=chosen.engine_name,
        evidence=_evidence(chosen, choice.machine, len(next(iter(outputs.values())))),
        needs=needs_of_sums(chosen.data, guarded=_is_guarded(chosen)),
    )


def _is_guarded(chosen: Candidate) -> bool:
    engine = chosen.engine()  # other engines than onnxruntime have no guard
    return isinstance(engine, OrtEngine) and chosen.settings.config.get(GUARD, "1") == "1" and engine.int8_is_exact


def _latency(chosen: Candidate, machine: str) -> Latency | None:
    if chosen.milliseconds is None or chosen.speedup is None:
        return None
    return Latency(
        milliseconds=chosen.milliseconds.value,
        speedup=chosen.speedup.value,
        low=chosen.speedup.low,
        high=chosen.speedup.high,
        threads=chosen.settings.threads,
        label="measured",
        machine=machine,
    )


def _evidence(chosen: Candidate, machine: str, samples: int) -> tuple[Evidence, ...]:
    """Return what held another engine's outputs against onnxruntime's of the same file, on the golden samples."""
    if not chosen.is_elsewhere:
        return ()
    executed = f"{chosen.engine_name} {engines.version_of(chosen.engine_name)}"
    value = chosen.accuracy.value if chosen.accuracy else None
    agreement = chosen.agreement
    return (Evidence("local", "measured", machine, executed, samples, agreement is None, agreement, value),)


def _source(model: LoadedModel, request: Request, chosen: Candidate) -> Source:
    return Source(
        model=model.path.name,
        model_sha256=model.sha256,
        calibration_sha256=request.calibration.sha256 if request.calibration else None,
        evaluation_sha256=request.evaluation.sha256 if request.evaluation else None,
        tools=versions(chosen.engine_name),
    )
