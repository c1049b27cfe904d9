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
from edge_runtime.package.manifest import FORMAT, Golden, Manifest, Source, Tolerance, Variant


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


def _model() -> bytes:
    """Return a model that adds up everything behind the batch dimension: [N, rows, columns] -> [N, 1, 1]."""
    window = helper.make_tensor_value_info("window", TensorProto.FLOAT, ["N", "rows", "columns"])
    total = helper.make_tensor_value_info("total", TensorProto.FLOAT, ["N", 1, 1])
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2])
    node = helper.make_node("ReduceSum", ["window", "axes"], ["total"])
    graph = helper.make_graph([node], "sum", [window], [total], [axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnx.ModelProto.SerializeToString(model)
