"""A tiny package and its parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_runtime.inference.engine import Array
from edge_runtime.inference.ort import OrtEngine
from edge_runtime.inference.preprocess import Preprocess
from edge_runtime.package import archive, golden
from edge_runtime.package.manifest import FORMAT, Golden, Manifest, Rejected, Source, Tolerance, Variant


@dataclass(frozen=True)
class Parts:
    """What a package is made of, before it is packed."""

    manifest: Manifest
    members: dict[str, bytes]
    inputs: dict[str, Array]
    outputs: dict[str, Array]

    def packed(self) -> bytes:
        """Return the package's bytes."""
        return archive.pack(self.manifest, self.members)


def scaling_model(factor: float = 2.0) -> bytes:
    """Return a model that multiplies each of two numbers by a factor."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in ("x", "y")]
    weight = helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor])
    graph = helper.make_graph([helper.make_node("Mul", ["x", "factor"], ["y"])], "scale", ends[:1], ends[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnx.ModelProto.SerializeToString(model)


@pytest.fixture
def parts() -> Parts:
    """Return the parts of the smallest useful package: one variant, three golden samples."""
    model = scaling_model()
    engine = OrtEngine(model)
    inputs = {"x": np.array([[1.0, -2.0], [0.5, 3.0], [0.0, 100.0]], dtype=np.float32)}
    outputs = engine.run(inputs)
    variant = Variant("fp32", "variants/fp32.onnx", "float32", Tolerance(absolute=1e-4, relative=1e-3))
    manifest = Manifest(
        format=FORMAT,
        name="scale",
        version=1,
        target="local",
        inputs=engine.inputs,
        outputs=engine.outputs,
        preprocess=Preprocess(),
        variants=(variant,),
        golden=Golden("golden.npz", 3, synthetic=False),
        chosen_because="it is the only one",
        rejected=(Rejected("cpu-u8s8", "not faster"),),
        source=Source("scale.onnx", "0" * 64, None, None, {"onnxruntime": "1.32.0"}),
    )
    members = {variant.file: model, "golden.npz": golden.encode(inputs, {"fp32": outputs})}
    return Parts(manifest, members, inputs, outputs)


@pytest.fixture
def file(parts: Parts, tmp_path: Path) -> Path:
    """Return the tiny package, written."""
    path = tmp_path / "scale.edgepkg"
    archive.write(path, parts.manifest, parts.members)
    return path


@pytest.fixture
def doubled() -> bytes:
    """Return a model with the tiny package's inputs and outputs that computes twice as much."""
    return scaling_model(4.0)
