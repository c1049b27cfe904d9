"""`edgeopt inspect`: what a model or a package is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edge_runtime.package.archive import Package
    from edge_runtime.package.manifest import Manifest, Variant

_MOST_SHOWN = 8


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
def inspect(path: Path) -> None:
    """Show inputs, outputs, operators and what could be quantized of a model, or everything a package says.

    A package is verified on the way: structure, digests of all members, and the golden samples on this machine.
    """
    from edge_runtime.package import archive
    from optimizer.report.explain import printable

    describe = _package if path.suffix == archive.SUFFIX else _model
    for label, value in describe(path):
        click.echo(printable(f"{label:<12} {value}"))


def _model(path: Path) -> list[tuple[str, str]]:
    from optimizer.flow import nothing_to_quantize
    from optimizer.load import load_model

    model = load_model(path)
    nothing = nothing_to_quantize(model)
    return [
        ("model", f"{path}, {model.file_bytes / 1000:.1f} kB, opset {model.opset}"),
        ("sha256", model.sha256),
        *(("input", str(tensor)) for tensor in model.inputs),
        *(("output", str(tensor)) for tensor in model.outputs),
        *_anatomy(model.data),
        ("quantizable", nothing or f"{model.weights} weights of Conv, ConvTranspose, Gemm or MatMul"),
        *(() if nothing else _stays_float(model.data)),
        ("next", f"edgeopt benchmark {path}" if nothing else f"edgeopt quantize {path}"),
    ]


def _package(path: Path) -> list[tuple[str, str]]:
    from edge_runtime.package import archive

    package = archive.read(path)
    manifest = package.manifest
    return [
        ("package", f"{path}, {manifest.label}, format {manifest.format}, for {manifest.target}"),
        ("sha256", package.digest),
        *(("input", str(tensor)) for tensor in manifest.inputs),
        *(("output", str(tensor)) for tensor in manifest.outputs),
        *_features(manifest),
        *(line for variant in manifest.variants for line in _variant(variant)),
        *_anatomy(package.members[manifest.variants[0].file]),
        *_float_layers(package),
        ("chosen", manifest.chosen_because),
        *(("not", f"{lost.name}: {lost.reason}") for lost in manifest.rejected),
        *_here(path, package),
        ("source", f"{manifest.source.model}, sha256 {manifest.source.model_sha256}"),
        ("tools", ", ".join(f"{name} {version}" for name, version in manifest.source.tools.items())),
        ("signatures", "none: anyone could have built this package"),
        *(
            ("member", f"{name}, {member.size} bytes, sha256 {member.sha256}")
            for name, member in manifest.members.items()
        ),
    ]


def _features(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield the window that a package expects and what it computes of it."""
    if manifest.computed is not None:
        yield "features", str(manifest.computed)


def _here(path: Path, package: Package) -> Iterator[tuple[str, str]]:
    """Yield which variant serves on this machine and how it does; a package for other machines is none the worse."""
    from edge_runtime.errors import BadInput
    from edge_runtime.inference.ort import SessionSettings
    from edge_runtime.package.serving import load_for_serving
    from optimizer.audit import audit

    try:
        served = load_for_serving(path)
    except BadInput as error:
        if error.code != "E-PACKAGE-NO-VARIANT":
            raise
        yield "here", error.message
        return
    model, golden = package.members[served.variant.file], served.golden
    samples = "synthetic" if package.manifest.golden.synthetic else "real"
    yield "here", f"{served.variant.name} serves: {served.reason}"
    yield from (("not here", str(skipped)) for skipped in served.skipped)
    yield "runs as", str(audit(model, SessionSettings(config=served.variant.session)))
    met = f"{golden.samples} {samples} samples reproduced here, {golden.worst:.1%} of the allowed distance used"
    yield "golden", met


def _anatomy(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield operators with their domains, operator sets, and how large the model is as numbers."""
    import onnx

    from optimizer import anatomy

    model = onnx.load_model_from_string(data)
    yield "operators", ", ".join(f"{count} {name}" for name, count in anatomy.operators(model.graph).items())
    yield "opsets", ", ".join(f"{domain} {version}" for domain, version in sorted(anatomy.opsets(model).items()))
    yield "parameters", f"{anatomy.parameters(model.graph):,}"
    macs = anatomy.multiplications(model)
    words = "not known: shapes are open" if macs is None else f"{macs:,} multiply-adds a sample"
    yield "multiplies", words if macs != 0 else "none in convolutions or matrix products outside control flow"


def _stays_float(data: bytes) -> Iterator[tuple[str, str]]:
    import onnx

    from optimizer import anatomy

    found = list(anatomy.stays_float(onnx.load_model_from_string(data).graph))
    yield from (("float", f"{name}: {reason}") for name, reason in found[:_MOST_SHOWN])
    if len(found) > _MOST_SHOWN:
        yield "float", f"and {len(found) - _MOST_SHOWN} more"


def _float_layers(package: Package) -> Iterator[tuple[str, str]]:
    """Yield which layers of a quantized variant are float, and why, from the package's report."""
    from optimizer.report.record import MEMBER, decode

    if MEMBER not in package.members:
        return
    layers = decode(package.members[MEMBER]).layers
    floats = [layer for layer in layers if layer.precision.startswith("float")]
    yield "layers", f"{len(layers)} with weights, {len(layers) - len(floats)} of them in integers"
    if len(floats) < len(layers):
        yield from (("float", f"{layer.name}: {layer.reason}") for layer in floats[:_MOST_SHOWN])
    if _MOST_SHOWN < len(floats) < len(layers):
        yield "float", f"and {len(floats) - _MOST_SHOWN} more: edgeopt explain shows all"


def _variant(variant: Variant) -> Iterator[tuple[str, str]]:
    yield "variant", f"{variant.name}: {variant.precision}"
    yield "runs on", f"{variant.engine}, {variant.provider}{_needs(variant)}"
    if variant.accuracy is not None:
        found = variant.accuracy
        interval = f"{found.low:.4f} to {found.high:.4f}"
        yield "accuracy", f"{found.metric} {found.value:.4f} ({interval}), float32 {found.reference:.4f}"
    else:
        yield "accuracy", "unverified"
    if variant.latency is not None:
        from optimizer.report.speeds import in_words

        yield "latency", in_words(variant.latency)


def _needs(variant: Variant) -> str:
    words = [" or ".join(names) for names in (variant.needs.isa, variant.needs.features) if names]
    return f"; needs {', '.join(words)}" if words else ""
