"""Operators, parameters and multiplications of models, against counts by hand and published ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from forms import static
from models import images, mlp, model_of, residual_convnet, tree
from onnx import helper, numpy_helper

from optimizer.anatomy import multiplications, operators, opsets, parameters, stays_float
from optimizer.simplify import simplify


def test_counts_by_hand() -> None:
    """Two convolutions on 16 x 16 and a classifier; every weight and bias once."""
    model = residual_convnet()
    assert parameters(model.graph) == 16 * 3 * 9 + 16 + 16 * 16 * 9 + 16 * 4
    assert multiplications(model) == 256 * 16 * 3 * 9 + 256 * 16 * 16 * 9 + 16 * 4
    assert multiplications(mlp()) == 8 * 64 + 64
    assert parameters(mlp().graph) == 8 * 64 + 64


@pytest.mark.parametrize(
    ("name", "macs"), [("kws_dscnn", 2_656_768), ("cifar10_resnet8", 12_501_632), ("sound_autoencoder", 264_192)]
)
def test_counts_of_the_reference_models(assets: Path, name: str, macs: int) -> None:
    """The MLPerf Tiny reference models: 2.7, 12.5 and 0.26 million multiply-adds."""
    assert multiplications(onnx.load_model(assets / name / "model.onnx")) == macs


def test_an_int8_form_counts_like_its_model() -> None:
    """Scales and zero points are no parameters; nodes out of order, as quantizers leave them, are no obstacle."""
    sample = {"x": images(4)}
    data = simplify(residual_convnet().SerializeToString(), sample).data
    form = onnx.load_model_from_string(static(data, sample))
    assert multiplications(form) == multiplications(residual_convnet())
    assert parameters(form.graph) == parameters(residual_convnet().graph)


def test_transposed_convolution_and_product() -> None:
    """ConvTranspose counts by its input; a transposed Gemm by the length of its sum."""
    weights = {"w": np.ones((2, 3, 4, 4), np.float32)}
    up = model_of(
        [helper.make_node("ConvTranspose", ["x", "w"], ["y"])], weights, {"x": [1, 2, 5, 5]}, {"y": [1, 3, 8, 8]}
    )
    assert multiplications(up) == 2 * 25 * 3 * 16
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transA=1, transB=1)
    product = model_of([node], {"w": np.ones((7, 6), np.float32)}, {"x": [6, 2]}, {"y": [2, 7]})
    assert multiplications(product) == 2 * 7 * 6


def test_open_shapes_are_unknown_not_zero() -> None:
    """A width that may be anything leaves the count open; no product at all is zero."""
    model = residual_convnet()
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_param = "W"
    assert multiplications(model) is None
    assert multiplications(tree()) == 0


def test_operators_and_opsets_carry_domains() -> None:
    """Those of ONNX itself stand plain."""
    assert operators(tree().graph) == {"ai.onnx.ml.TreeEnsembleRegressor": 1}
    assert opsets(tree()) == {"ai.onnx.ml": 1, "ai.onnx": 17}
    assert list(operators(residual_convnet().graph).items())[:2] == [("Conv", 2), ("Relu", 2)]


def test_what_stays_float_has_its_reason() -> None:
    """A product of two computed tensors, weights that are not float32, a product inside control flow."""
    body = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["inner"], "inside")],
        "body",
        [],
        [helper.make_tensor_value_info("inner", onnx.TensorProto.FLOAT, None)],
    )
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "good"),
        helper.make_node("Transpose", ["a"], ["t"], "turn"),
        helper.make_node("MatMul", ["a", "t"], ["y"], "attention"),
        helper.make_node("Cast", ["x"], ["d"], "cast", to=onnx.TensorProto.DOUBLE),
        helper.make_node("MatMul", ["d", "w64"], ["z"], "double"),
        helper.make_node("If", ["yes"], ["q"], "if", then_branch=body, else_branch=body),
    ]
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [3, 3])]
    outputs = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [3, 3])]
    constants = {"w": np.eye(3, dtype=np.float32), "w64": np.eye(3), "yes": np.array(True)}
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    found = dict(stays_float(helper.make_graph(nodes, "g", inputs, outputs, weights)))
    assert set(found) == {"attention", "double", "inside"}
    assert "two computed tensors" in found["attention"]
    assert "not float32" in found["double"]
    assert "control flow" in found["inside"]
    assert list(stays_float(residual_convnet().graph)) == []
