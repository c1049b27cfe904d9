"""Very long tensor names become short; what others refer to keeps its name."""

from __future__ import annotations

import numpy as np
import onnx
from models import model_of
from onnx import helper

from edge_runtime.inference.ort import OrtEngine
from optimizer.simplify.shorten_names import apply

LONG = "functional/" * 20


def _named() -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["x", f"{LONG}w"], [f"{LONG}a"], f"{LONG}node"),
        helper.make_node("Add", [f"{LONG}a", "t0"], ["y"], "add"),
    ]
    weights = {f"{LONG}w": np.ones((2, 2), np.float32), "t0": np.ones(2, np.float32)}
    return model_of(nodes, weights, {"x": ["N", 2]}, {"y": ["N", 2]})


def test_long_names_of_tensors_become_short_and_nothing_else_changes() -> None:
    """Node names, inputs and outputs stay; a name in use is not given twice; the results are the same."""
    data = _named().SerializeToString()
    short = onnx.load_model_from_string(apply(data))
    onnx.checker.check_model(short)
    assert [node.name for node in short.graph.node] == [f"{LONG}node", "add"]
    names = [name for node in short.graph.node for name in (*node.input, *node.output)]
    assert max(len(name) for name in names) < 5
    assert len({item.name for item in short.graph.initializer}) == 2
    x = {"x": np.array([[1.0, 2.0]], np.float32)}
    assert np.array_equal(OrtEngine(short.SerializeToString()).run(x)["y"], OrtEngine(data).run(x)["y"])


def test_names_inside_control_flow_follow() -> None:
    """A body that refers to a tensor outside refers to its new name."""
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y")]
    condition = helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, [])
    body = helper.make_graph(
        [helper.make_node("Neg", [f"{LONG}a"], ["b"])],
        "body",
        [],
        [helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, [1])],
    )
    nodes = [
        helper.make_node("Abs", ["x"], [f"{LONG}a"]),
        helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body),
    ]
    graph = helper.make_graph(nodes, "g", [ends[0], condition], ends[1:])
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    feeds = {"x": np.array([-3.0], np.float32), "c": np.array(True)}
    assert OrtEngine(apply(data)).run(feeds)["y"].tolist() == [-3.0]


def test_short_names_stay() -> None:
    """A model without long names comes back as it is."""
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], {}, {"x": ["N", 2]}, {"y": ["N", 2]})
    data = model.SerializeToString()
    assert apply(data) is data
