"""A package whose predictions anybody can check: the sum of all numbers in the window."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper

from edge_runtime.inference.ort import OrtEngine
from edge_runtime.inference.preprocess import Preprocess
from edge_runtime.package import archive, golden
from edge_runtime.package.manifest import FORMAT, Golden, Manifest, Needs, Provider, Source, Tolerance, Variant


def write(path: Path, *, manifest_format: int = FORMAT, golden_error: float = 0.0) -> None:
    """Write the package, on request with another format number or with wrong golden outputs."""
    model = _model()
    engine = OrtEngine(model)
    inputs = {"window": np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32)}
    outputs = {name: array + np.float32(golden_error) for name, array in engine.run(inputs).items()}
    variant = Variant("fp32", "variants/fp32.onnx", "float32", Tolerance(absolute=1e-4, relative=1e-3))
    manifest = Manifest(
        format=FORMAT,
        name="sum",
        version=1,
        target="local",
        inputs=engine.inputs,
        outputs=engine.outputs,
        preprocess=Preprocess(),
        variants=(variant,),
        golden=Golden("golden.npz", 1, synthetic=True),
        chosen_because="it is the only one",
        rejected=(),
        source=Source("sum.onnx", "0" * 64, None, None, {}),
    )
    members = {variant.file: model, "golden.npz": golden.encode(inputs, {"fp32": outputs})}
    archive.write(path, msgspec.structs.replace(manifest, format=manifest_format), members)


def write_variants(path: Path, **given: tuple[Needs, float]) -> None:
    """Write the package with several variants of the same model.

    Args:
        path: The package.
        given: Name of each variant -> what it needs, and an error added to its golden outputs.
    """
    write(path)
    package = archive.read(path)
    [plain] = package.manifest.variants
    model = package.members[plain.file]
    inputs = golden.inputs_of(plain, package.members["golden.npz"])
    right = OrtEngine(model).run(inputs)
    variants = tuple(
        msgspec.structs.replace(plain, name=name, file=f"variants/{name}.onnx", needs=needs)
        for name, (needs, _) in given.items()
    )
    outputs = {
        name: {output: array + np.float32(error) for output, array in right.items()}
        for name, (_, error) in given.items()
    }
    members = {variant.file: model for variant in variants}
    manifest = msgspec.structs.replace(package.manifest, variants=variants)
    archive.write(path, manifest, {**members, "golden.npz": golden.encode(inputs, outputs)})


def move_to(path: Path, provider: Provider) -> None:
    """Say of all the package's variants that they run on this provider."""
    package = archive.read(path)
    variants = tuple(msgspec.structs.replace(variant, provider=provider) for variant in package.manifest.variants)
    manifest = msgspec.structs.replace(package.manifest, variants=variants)
    kept = {variant.file for variant in variants} | {manifest.golden.file}
    archive.write(path, manifest, {name: data for name, data in package.members.items() if name in kept})


def _model() -> bytes:
    """Return a model that adds up everything behind the batch dimension: [N, rows, columns] -> [N, 1, 1]."""
    window = helper.make_tensor_value_info("window", TensorProto.FLOAT, ["N", "rows", "columns"])
    total = helper.make_tensor_value_info("total", TensorProto.FLOAT, ["N", 1, 1])
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2])
    node = helper.make_node("ReduceSum", ["window", "axes"], ["total"])
    graph = helper.make_graph([node], "sum", [window], [total], [axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnx.ModelProto.SerializeToString(model)
