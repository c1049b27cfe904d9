"""Rewrites: what they remove, that outputs stay the same, and that a wrong one is rolled back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from models import images, model_of, residual_convnet
from onnx import helper, numpy_helper

from edge_runtime.errors import BadInput
from edge_runtime.inference.ort import OrtEngine
from optimizer.graph import drop_unused_domains, opset_of
from optimizer.load import count_operators
from optimizer.simplify import name_nodes, simplify
from optimizer.simplify.chain import Rewrite

FEEDS = {"x": images(2)}


def _with_batch_norm() -> onnx.ModelProto:
    random = np.random.default_rng(0)
    weights = {"w": random.normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32)}
    weights |= {name: random.uniform(0.5, 1.5, 8).astype(np.float32) for name in ("scale", "bias", "mean", "var")}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("BatchNormalization", ["c", "scale", "bias", "mean", "var"], ["b"], "norm"),
        helper.make_node("Identity", ["b"], ["i"], "identity"),
        helper.make_node("Relu", ["i"], ["y"], "relu"),
    ]
    return model_of(nodes, weights, {"x": ["N", 3, 16, 16]}, {"y": ["N", 8, 14, 14]})


def test_batch_norm_and_identity_are_folded() -> None:
    """One convolution and one activation are left, computing the same."""
    before = _with_batch_norm().SerializeToString()
    after = simplify(before, FEEDS)
    assert count_operators(onnx.load_model_from_string(after.data).graph) == {"Conv": 1, "Relu": 1}
    expected, actual = (OrtEngine(data).run(FEEDS)["y"] for data in (before, after.data))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    assert all(step.kept for step in after.steps)


def test_an_old_model_is_raised_to_per_channel_quantization() -> None:
    """Opset 8 with initializers listed as inputs becomes opset 13 with true inputs only."""
    model = residual_convnet(opset=8)
    model.ir_version = 3
    model.graph.input.extend(
        helper.make_tensor_value_info(item.name, item.data_type, item.dims) for item in model.graph.initializer
    )
    after = onnx.load_model_from_string(simplify(model.SerializeToString(), FEEDS).data)
    assert opset_of(after) == 13
    assert [item.name for item in after.graph.input] == ["x"]
    expected = OrtEngine(residual_convnet(opset=8).SerializeToString()).run(FEEDS)["y"]
    np.testing.assert_allclose(OrtEngine(after.SerializeToString()).run(FEEDS)["y"], expected, rtol=1e-4, atol=1e-5)


def test_every_node_has_a_name_of_its_own() -> None:
    """Layers are kept float and explained by name, so nameless and same-named nodes are told apart."""
    model = residual_convnet()
    model.graph.node[0].name = ""
    model.graph.node[2].name = "relu1"
    after = onnx.load_model_from_string(name_nodes.apply(model.SerializeToString()))
    names = [node.name for node in after.graph.node]
    assert len(set(names)) == len(names) == len(model.graph.node)
    assert names[1] == "relu1"
    assert all(names)


def test_operator_sets_that_nothing_uses_are_dropped() -> None:
    """Exporters and onnxruntime list domains that no node uses; converters stumble over them."""
    model = residual_convnet()
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    drop_unused_domains(model)
    assert [entry.domain for entry in model.opset_import] == [""]


def _change_a_weight(data: bytes) -> bytes:
    model = onnx.load_model_from_string(data)
    weight = numpy_helper.to_array(model.graph.initializer[0]) * 1.01
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, model.graph.initializer[0].name))
    return model.SerializeToString()


def _rename_the_output(data: bytes) -> bytes:
    model = onnx.load_model_from_string(data)
    model.graph.node[-1].output[0] = model.graph.output[0].name = "z"
    return model.SerializeToString()


def _break_the_graph(data: bytes) -> bytes:
    model = onnx.load_model_from_string(data)
    del model.graph.node[1]
    return model.SerializeToString()


def _refuse(data: bytes) -> bytes:
    raise BadInput("E-REWRITE", f"no way for {len(data)} bytes", "none")


@pytest.mark.parametrize("rewrite", [_change_a_weight, _rename_the_output, _break_the_graph, _refuse])
def test_a_wrong_rewrite_is_rolled_back_and_said(rewrite: Callable[[bytes], bytes]) -> None:
    """The model goes on unchanged, the step carries the reason, and later rewrites still run."""
    data = residual_convnet().SerializeToString()
    harmless: Rewrite = bytes
    after = simplify(data, FEEDS, [("planted", rewrite), ("harmless", harmless)])
    assert after.data == data
    assert [step.kept for step in after.steps] == [False, True]
    assert after.steps[0].note
