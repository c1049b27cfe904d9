"""A small package with several variants, as `edgeopt quantize` would seal it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from forms import simplified, static
from models import images, residual_convnet

from edge_runtime.inference.batch import run_all
from edge_runtime.inference.engine import Array
from edge_runtime.inference.ort import OrtEngine
from edge_runtime.inference.preprocess import Preprocess
from edge_runtime.package import archive, golden
from edge_runtime.package.archive import Package
from edge_runtime.package.manifest import FORMAT, Accuracy, Golden, Manifest, Needs, Source, Tolerance, Variant
from optimizer.data import Dataset, dataset_from_arrays
from optimizer.quantize import quantize
from optimizer.recipe import Recipe
from optimizer.schemes import Int8Dynamic

GOLDEN = images(6, seed=5)
EVALUATION = images(40, seed=1)


def models() -> dict[str, bytes]:
    """Return variant name -> model: float32, static int8 and dynamic int8."""
    given = residual_convnet()
    data = simplified(given, {"x": images(40)})
    return {
        "fp32": given.SerializeToString(),
        "cpu-u8s8": static(data, {"x": images(40)}),
        "cpu-dynamic": quantize(data, Recipe(Int8Dynamic()), {}),
    }


def labels() -> Array:
    """Return the float32 model's answers, so that it scores 1."""
    answers: Array = OrtEngine(models()["fp32"]).run({"x": EVALUATION})["y"].argmax(axis=1)
    return answers


def evaluation() -> Dataset:
    """Return the samples the package was evaluated on."""
    inputs = OrtEngine(models()["fp32"]).inputs
    return dataset_from_arrays({"x": EVALUATION}, labels(), inputs, Preprocess(), "evaluation")


def packaged(
    needs: dict[str, Needs] | None = None, names: tuple[str, ...] = ("fp32", "cpu-u8s8"), tamper: float = 0.0
) -> Package:
    """Return a package.

    Args:
        needs: Variant -> what it needs.
        names: Its variants.
        tamper: Added to every golden output: values that no machine reproduces.
    """
    every = models()
    outputs = {name: run_all(OrtEngine(every[name]), {"x": GOLDEN}) for name in names}
    planted = {name: {"y": arrays["y"] + np.float32(tamper)} for name, arrays in outputs.items()}
    engine = OrtEngine(every["fp32"])
    truth = labels()
    score = {
        name: float((run_all(OrtEngine(every[name]), {"x": EVALUATION})["y"].argmax(axis=1) == truth).mean())
        for name in names
    }
    variants = tuple(
        Variant(
            name,
            f"variants/{name}.onnx",
            "as given" if name == "fp32" else "int8",
            Tolerance(1e-3, 1e-3),
            accuracy=Accuracy("top1", score[name], 0.0, 1.0, 1.0, 1 - score[name], 0.0, 1.0, len(EVALUATION), 0.95),
            needs=(needs or {}).get(name, Needs()),
        )
        for name in names
    )
    manifest = Manifest(
        format=FORMAT,
        name="net",
        version=1,
        target="local",
        inputs=engine.inputs,
        outputs=engine.outputs,
        preprocess=Preprocess(),
        variants=variants,
        golden=Golden("golden.npz", len(GOLDEN), synthetic=False),
        chosen_because="it is a test",
        rejected=(),
        source=Source("net.onnx", "0" * 64, None, evaluation().sha256, {}),
    )
    members = {f"variants/{name}.onnx": every[name] for name in names}
    raw = archive.pack(manifest, {**members, "golden.npz": golden.encode({"x": GOLDEN}, planted)})
    return archive.parse(Path("net.edgepkg"), raw)


def written(package: Package, path: Path) -> Path:
    """Write a package and return where."""
    manifest = msgspec.structs.replace(package.manifest, members={})
    members = {name: package.members[name] for name in package.manifest.members}
    archive.write(path, manifest, members)
    return path
