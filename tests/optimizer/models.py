"""Small models of the kinds users bring, built node by node with seeded weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def model_of(
    nodes: Sequence[onnx.NodeProto],
    weights: dict[str, NDArray[Any]],
    inputs: dict[str, Sequence[int | str]],
    outputs: dict[str, Sequence[int | str]],
    opset: int = 17,
) -> onnx.ModelProto:
    """Return a checked model with float inputs and outputs."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def residual_convnet(opset: int = 17, batch: int | str = "N") -> onnx.ModelProto:
    """Two convolutions with a residual Add, pooling and a classifier: [N,3,16,16] -> [N,4]."""
    random = np.random.default_rng(0)
    weights = {
        "w1": random.normal(0, 0.2, (16, 3, 3, 3)).astype(np.float32),
        "b1": random.normal(0, 0.1, 16).astype(np.float32),
        "w2": random.normal(0, 0.1, (16, 16, 3, 3)).astype(np.float32),
        "w3": random.normal(0, 0.3, (16, 4)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], "conv2", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c2", "r1"], ["a"], "add"),
        helper.make_node("Relu", ["a"], ["r2"], "relu2"),
        helper.make_node("GlobalAveragePool", ["r2"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("MatMul", ["f", "w3"], ["y"], "classifier"),
    ]
    return model_of(nodes, weights, {"x": [batch, 3, 16, 16]}, {"y": [batch, 4]}, opset)


def mlp(width: int = 64) -> onnx.ModelProto:
    """Two dense layers: [N,8] -> [N,1]."""
    random = np.random.default_rng(1)
    weights = {
        "w1": random.normal(0, 0.3, (8, width)).astype(np.float32),
        "w2": random.normal(0, 0.3, (width, 1)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"], "dense1"),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("MatMul", ["r", "w2"], ["y"], "dense2"),
    ]
    return model_of(nodes, weights, {"x": ["N", 8]}, {"y": ["N", 1]})


def tree() -> onnx.ModelProto:
    """One decision stump as ai.onnx.ml: [N,2] -> [N,1], 1 where the first feature is above 0.5."""
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0, 0, 0],
        nodes_values=[0.5, 0.0, 0.0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        target_ids=[0, 0],
        target_weights=[0.0, 1.0],
    )
    graph = helper.make_graph(
        [node],
        "tree",
        [helper.make_tensor_value_info("x", FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("y", FLOAT, ["N", 1])],
    )
    opsets = [helper.make_opsetid("ai.onnx.ml", 1), helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def images(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Return inputs for `residual_convnet`."""
    return np.random.default_rng(seed).normal(0, 1, (count, 3, 16, 16)).astype(np.float32)
