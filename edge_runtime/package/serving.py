"""From a package file to an engine that has proved itself on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import Refused
from edge_runtime.inference import engines
from edge_runtime.inference.engine import Engine
from edge_runtime.inference.ort import SessionSettings
from edge_runtime.package import archive, golden
from edge_runtime.package.manifest import Manifest, Variant


@dataclass(frozen=True)
class ServedModel:
    """A loaded variant that reproduced its golden samples here."""

    manifest: Manifest
    variant: Variant
    engine: Engine
    golden: golden.GoldenResult
    digest: str


def load_for_serving(path: Path) -> ServedModel:
    """Read and verify a package, load its first variant and run the golden samples.

    Raises:
        BadInput: the file is no usable package, or onnxruntime cannot load the variant.
        Refused: E-PACKAGE-DAMAGED, E-PACKAGE-INTERFACE or E-GOLDEN-MISMATCH.
    """
    package = archive.read(path)
    variant = package.manifest.variants[0]
    settings = SessionSettings(variant.threads, config=variant.session)
    engine = engines.load(variant.engine, package.members[variant.file], settings)
    named = ({tensor.name for tensor in package.manifest.inputs}, {tensor.name for tensor in package.manifest.outputs})
    if named != ({tensor.name for tensor in engine.inputs}, {tensor.name for tensor in engine.outputs}):
        raise Refused(
            "E-PACKAGE-INTERFACE",
            f"{path}: the model's inputs or outputs are not those the manifest names",
            "build the package again with `edgeopt quantize`",
        )
    result = golden.check(engine, variant, package.members[package.manifest.golden.file])
    return ServedModel(package.manifest, variant, engine, result, package.digest)
