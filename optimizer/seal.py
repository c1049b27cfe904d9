"""The last step: manifest, golden samples and the chosen model become a package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import onnx
import onnxruntime

from devices.host import detect
from edge_runtime.inference.batch import run_all
from edge_runtime.inference.engine import Array
from edge_runtime.package import archive, golden
from edge_runtime.package.manifest import (
    FORMAT,
    Golden,
    Latency,
    Manifest,
    Rejected,
    Source,
    Variant,
)
from optimizer.candidates import Candidate
from optimizer.caveats import caveats
from optimizer.load import LoadedModel
from optimizer.request import Request

GOLDEN_SAMPLES = 16
_GOLDEN_FILE = "golden.npz"


@dataclass(frozen=True)
class Result:
    """The outcome of an optimization.

    Attributes:
        manifest: As written into the package.
        members: The package's other members by name.
        chosen: The candidate inside.
        candidates: All of them, the user's own model first, each with its reason where it lost.
        original_bytes: Size of the user's model on disk.
        warnings: What the user should know before he trusts the result.
    """

    manifest: Manifest
    members: dict[str, bytes]
    chosen: Candidate
    candidates: tuple[Candidate, ...]
    original_bytes: int
    warnings: tuple[str, ...]

    def write(self, path: Path) -> None:
        """Write the package; it is there whole or not at all."""
        archive.write(path, self.manifest, self.members)


def seal(
    model: LoadedModel,
    candidates: Sequence[Candidate],
    chosen: Candidate,
    sample: Mapping[str, Array],
    request: Request,
) -> Result:
    """Return the package of the chosen candidate, its golden outputs computed by the code that will serve it.

    Args:
        model: The user's model.
        candidates: All candidates, the user's own model first.
        chosen: The one to seal.
        sample: One sample that the model accepts, golden where the user gave no data.
        request: What the user asked for.
    """
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
        variants=(_variant(chosen, file, outputs),),
        golden=Golden(_GOLDEN_FILE, samples=len(next(iter(inputs.values()))), synthetic=request.samples is None),
        chosen_because=_reason(chosen, candidates),
        rejected=tuple(Rejected(c.name, c.rejected) for c in candidates if c.rejected),
        source=_source(model, request),
        decision=request.identity.decision,
    )
    members = {file: chosen.data, _GOLDEN_FILE: golden.encode(inputs, {chosen.name: outputs})}
    return Result(manifest, members, chosen, tuple(candidates), model.file_bytes, caveats(model, request))


def _variant(chosen: Candidate, file: str, outputs: Mapping[str, Array]) -> Variant:
    # Another processor may round an int8 sum across a step; that moves a few steps, not the answer.
    share, relative = (1e-4, 1e-3) if chosen.scheme is None else (2e-2, 2e-2)
    return Variant(
        name=chosen.name,
        file=file,
        precision=chosen.precision,
        tolerance=golden.tolerance_for(outputs, share, relative),
        session=chosen.settings.config,
        accuracy=chosen.accuracy,
        latency=_latency(chosen),
    )


def _latency(chosen: Candidate) -> Latency | None:
    if chosen.milliseconds is None or chosen.speedup is None:
        return None
    return Latency(
        milliseconds=chosen.milliseconds.value,
        speedup=chosen.speedup.value,
        low=chosen.speedup.low,
        high=chosen.speedup.high,
        threads=chosen.settings.threads,
        label="measured",
        machine=str(detect()),
    )


def _reason(chosen: Candidate, candidates: Sequence[Candidate]) -> str:
    if len(candidates) == 1:
        return "nothing to quantize; passed through unchanged"
    speedup = chosen.speedup.value if chosen.speedup else 1.0
    if chosen.scheme is None:
        kind = "the model as given" if chosen.name == "fp32" else "the simplified float32 model"
        return f"{kind} is the best: no quantized form was both inside the budget and worth it"
    if chosen.speedup is not None and chosen.speedup.low > 1.0:
        return f"fastest form inside the budget: {speedup:.2f} x float32"
    return f"smallest form that is not slower than float32 ({speedup:.2f} x)"


def _source(model: LoadedModel, request: Request) -> Source:
    tools = {"edgeopt": metadata.version("edgeopt"), "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}
    return Source(
        model=model.path.name,
        model_sha256=model.sha256,
        calibration_sha256=request.calibration.sha256 if request.calibration else None,
        evaluation_sha256=request.evaluation.sha256 if request.evaluation else None,
        tools=tools,
    )
