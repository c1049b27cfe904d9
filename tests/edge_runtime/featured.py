"""A tiny package whose model doubles the features of a window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from edge_runtime.inference.engine import Array
from edge_runtime.inference.feature_kinds import Kurtosis, Rms
from edge_runtime.inference.features import Features
from edge_runtime.inference.ort import OrtEngine
from edge_runtime.inference.preprocess import Preprocess
from edge_runtime.package import archive, golden
from edge_runtime.package.manifest import (
    FEATURES_FORMAT,
    Golden,
    Manifest,
    Source,
    Tolerance,
    Variant,
)

FEATURES = Features(64, (Rms(), Kurtosis()), channels=2, sample_rate=1000.0)
PREPROCESS = Preprocess(scale=3.0, mean=(1.0, 0.0, 0.5, 0.0), std=(0.5, 1.0, 2.0, -1.0))
WINDOWS = np.random.default_rng(0).normal(size=(5, 64, 2)).astype(np.float32)


def doubled(dtype: int = TensorProto.FLOAT) -> bytes:
    """Return a model that adds its four numbers to themselves."""
    ends = [helper.make_tensor_value_info(name, dtype, ["N", 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "double", ends[:1], ends[1:])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnx.ModelProto.SerializeToString(proto)


def mixed() -> bytes:
    """Return a model that subtracts the mean over the batch: it mixes up what it is given together."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in ("x", "y")]
    nodes = [helper.make_node("ReduceMean", ["x"], ["m"], axes=[0]), helper.make_node("Sub", ["x", "m"], ["y"])]
    proto = helper.make_model(
        helper.make_graph(nodes, "mix", ends[:1], ends[1:]), opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    return onnx.ModelProto.SerializeToString(proto)


def write(
    path: Path,
    *,
    served: Features = FEATURES,
    inputs: Features = FEATURES,
    windows: dict[str, Array] | None = None,
    model: bytes | None = None,
) -> Manifest:
    """Write the package.

    Args:
        path: Where.
        served: What its manifest declares.
        inputs: What its golden inputs were made with.
        windows: Its golden windows.
        model: What is served, by default `doubled`.
    """
    model = doubled() if model is None else model
    engine = OrtEngine(model)
    feeds = {"x": PREPROCESS.apply(inputs.of(WINDOWS)).astype(engine.inputs[0].dtype)}
    manifest = Manifest(
        format=FEATURES_FORMAT,
        name="double",
        version=1,
        target="local",
        inputs=engine.inputs,
        outputs=engine.outputs,
        preprocess=PREPROCESS,
        variants=(Variant("fp32", "variants/fp32.onnx", "float32", Tolerance(1e-4, 1e-3)),),
        golden=Golden("golden.npz", len(WINDOWS), synthetic=False),
        chosen_because="it is the only one",
        rejected=(),
        source=Source("double.onnx", "0" * 64, None, None, {}),
        features=served,
    )
    samples = golden.encode(feeds, {"fp32": engine.run(feeds)}, {"x": WINDOWS} if windows is None else windows)
    archive.write(path, manifest, {"variants/fp32.onnx": model, "golden.npz": samples})
    return manifest
