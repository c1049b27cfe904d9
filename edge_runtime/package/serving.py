"""From a package file to an engine that has proved itself on this machine: which variant serves, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from devices.host import detect
from edge_runtime.errors import EdgeoptError, EnvironmentFault, Refused
from edge_runtime.inference import engines, ort
from edge_runtime.inference.batch import batch_size_of, batches, count_samples, fill_up
from edge_runtime.inference.engine import Array, Engine
from edge_runtime.inference.ort import OrtEngine, SessionSettings
from edge_runtime.package import archive, golden, golden_features, race
from edge_runtime.package.archive import Package
from edge_runtime.package.choice import Machine, Skipped, Wishes, choose, nothing_fits, replaced_provider
from edge_runtime.package.manifest import Manifest, Variant

_RACE_SECONDS = 2.0
_CLEARLY_FASTER = 0.97  # times closer than this are the same: the package's order decides
# A package that contradicts itself is not searched for a part that can be believed.
_OF_THE_WHOLE_PACKAGE = frozenset({"E-PACKAGE-INTERFACE", "E-GOLDEN-UNREADABLE"})


@dataclass(frozen=True)
class ServedModel:
    """A loaded variant that reproduced its golden samples here.

    Attributes:
        manifest: The package's.
        variant: What serves.
        engine: Loaded.
        golden: How it came through its samples.
        digest: Of the whole package.
        reason: Why this variant, one sentence.
        skipped: The others that were looked at before it or lost to it, each with the reason.
        provider: What executes it in fact: ``cpu``, ``cuda`` or ``tensorrt``.
        nodes: Executed nodes by provider; None on the processor, or where onnxruntime does not tell.
        fallback: What is not executed where it was meant to be, and why; None where all is.
    """

    manifest: Manifest
    variant: Variant
    engine: Engine
    golden: golden.GoldenResult
    digest: str
    reason: str
    skipped: tuple[Skipped, ...]
    provider: str
    nodes: Mapping[str, int] | None = None
    fallback: str | None = None


@dataclass(frozen=True)
class _Proved:
    """A variant whose golden samples were met."""

    variant: Variant
    engine: Engine
    golden: golden.GoldenResult


def this_machine() -> Machine:
    """Return the facts that the choice needs, of the machine this process runs on."""
    return Machine(detect(), engines.available(), tuple(ort.available_providers()))


def load_for_serving(
    path: Path, wishes: Wishes | None = None, state: Path | None = None, machine: Machine | None = None
) -> ServedModel:
    """Read and verify a package, and load the first variant that is for this machine and computes right on it.

    Args:
        path: The package.
        wishes: What the configuration asks for.
        state: Folder of what must outlive a restart, for TensorRT's engines; None keeps none.
        machine: Facts, by default of this one.

    Raises:
        BadInput: the file is no usable package, E-PACKAGE-NO-VARIANT or E-PIPELINE-VARIANT. Where nothing but one
            variant was there to try, its own error: E-MODEL-LOAD, …
        Refused: E-PACKAGE-DAMAGED, E-PACKAGE-INTERFACE, E-GOLDEN-MISMATCH, or E-PACKAGE-NO-VARIANT where one variant
            of several computed something wrong and none is left.
        EnvironmentFault: E-PROVIDER-MISSING, a provider that is asked for is not here and no fallback is allowed.
    """
    wishes, machine = wishes or Wishes(), machine or this_machine()
    package = archive.read(path)
    golden_features.check(package.manifest, package.members[package.manifest.golden.file])
    choice = choose(package.manifest, machine, wishes)
    failures: dict[str, EdgeoptError] = {}
    trial = _Trial(path, package, wishes, state, failures)
    proving = trial.proved(choice.usable)
    proved = list(proving) if wishes.selection == "fastest" else [one for one in [next(proving, None)] if one]
    failed = [Skipped(name, f"{error.code}: {error.message}", failed=True) for name, error in failures.items()]
    skipped = (*choice.skipped, *failed)
    if not proved:
        raise _nothing_serves(package.manifest, machine, wishes, skipped, failures)
    if len(proved) > 1:
        winner, reason, lost = _fastest(proved, package)
    else:
        winner, reason, lost = proved[0], _why(package, skipped, wishes), []
    served = _served(package, winner, reason, (*skipped, *lost))
    return replace(served, fallback=served.fallback or replaced_provider(wishes, machine, served.provider))


def _nothing_serves(
    manifest: Manifest,
    machine: Machine,
    wishes: Wishes,
    skipped: Sequence[Skipped],
    failures: Mapping[str, EdgeoptError],
) -> EdgeoptError:
    """Return a variant's own error where it says all there is to say, else one that names all reasons."""
    environment = all(isinstance(error, EnvironmentFault) for error in failures.values())
    if failures and (wishes.variant or len(manifest.variants) == 1 or (wishes.providers and environment)):
        return next(iter(failures.values()))
    unsafe = any(isinstance(error, Refused) for error in failures.values())
    wanted = [one for one in skipped if wishes.variant in {"", one.name}]
    return nothing_fits(manifest, machine, wanted, unsafe=unsafe)


@dataclass(frozen=True)
class _Trial:
    """Loads variants and runs their golden samples; those that do not come through are added to `failures`."""

    path: Path
    package: Package
    wishes: Wishes
    state: Path | None
    failures: dict[str, EdgeoptError]

    def proved(self, usable: Sequence[Variant]) -> Iterator[_Proved]:
        """Yield those that come through; where none does, and it is allowed, the processor stands in for a provider."""
        found = False
        for variant in usable:
            if one := self._attempt(variant, fallback=False):
                found = True
                yield one
        if found or not self.wishes.fallback:
            return
        for variant in usable:
            by_environment = isinstance(self.failures[variant.name], EnvironmentFault)
            if by_environment and (one := self._attempt(variant, fallback=True)):
                yield one

    def _attempt(self, variant: Variant, *, fallback: bool) -> _Proved | None:
        settings = SessionSettings(
            variant.threads,
            config=variant.session,
            provider=variant.provider,
            fallback=fallback,
            engine_cache=str(self.state / "tensorrt") if self.state else "",
        )
        members, manifest = self.package.members, self.package.manifest
        try:
            engine = engines.load(variant.engine, members[variant.file], settings)
            _demand_interface(self.path, manifest, engine)
            met = golden.check(engine, variant, members[manifest.golden.file])
        except EdgeoptError as error:
            if error.code in _OF_THE_WHOLE_PACKAGE:
                raise
            self.failures[variant.name] = error
            return None
        self.failures.pop(variant.name, None)
        return _Proved(variant, engine, met)


def _demand_interface(path: Path, manifest: Manifest, engine: Engine) -> None:
    named = ({tensor.name for tensor in manifest.inputs}, {tensor.name for tensor in manifest.outputs})
    if named != ({tensor.name for tensor in engine.inputs}, {tensor.name for tensor in engine.outputs}):
        raise Refused(
            "E-PACKAGE-INTERFACE",
            f"{path}: the model's inputs or outputs are not those the manifest names",
            "build the package again with `edgeopt quantize`",
        )


def _fastest(proved: Sequence[_Proved], package: Package) -> tuple[_Proved, str, list[Skipped]]:
    """Time those that are right here; return the fastest, why, and what the others lost by."""
    samples = golden.inputs_of(proved[0].variant, package.members[package.manifest.golden.file])
    one = _one_batch(proved[0].engine, samples)
    times = race.medians([each.engine for each in proved], one, _RACE_SECONDS)
    best = min(times)
    index = next(index for index, time in enumerate(times) if time * _CLEARLY_FASTER <= best)
    lost = [
        Skipped(each.variant.name, f"takes {time:.3f} ms here, {proved[index].variant.name} {times[index]:.3f} ms")
        for each, time in zip(proved, times, strict=True)
        if each is not proved[index]
    ]
    reason = f"the fastest of {len(proved)} that are right here: {times[index]:.3f} ms, measured at the start"
    return proved[index], reason, lost


def _one_batch(engine: Engine, samples: Mapping[str, Array]) -> Mapping[str, Array]:
    """Return the smallest batch that a model takes; arrays of different lengths have no sample axis to cut."""
    if len({len(array) for array in samples.values() if array.ndim}) != 1:
        return samples
    size = batch_size_of(engine, 1)
    batch = next(batches(samples, size))
    return fill_up(batch, size - count_samples(batch))


def _why(package: Package, skipped: Sequence[Skipped], wishes: Wishes) -> str:
    if wishes.variant:
        return "the configuration asks for it"
    if len(package.manifest.variants) == 1:
        return "the package's only variant"
    if not skipped:
        return "the package's first choice"
    if wishes.selection == "fastest":
        return "the only one that can serve here"
    return f"the first of {len(package.manifest.variants)} that can serve here"


def _served(package: Package, proved: _Proved, reason: str, skipped: tuple[Skipped, ...]) -> ServedModel:
    engine = proved.engine
    executed = (engine.provider, engine.nodes, engine.fallback) if isinstance(engine, OrtEngine) else None
    provider, nodes, fallback = executed or (proved.variant.provider, None, None)
    return ServedModel(
        manifest=package.manifest,
        variant=proved.variant,
        engine=engine,
        golden=proved.golden,
        digest=package.digest,
        reason=reason,
        skipped=skipped,
        provider=provider,
        nodes=nodes,
        fallback=fallback,
    )
