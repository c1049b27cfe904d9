"""Dynamic int8: matrix products of all kinds, convolutions never."""

from __future__ import annotations

import numpy as np
import onnx
from forms import decibels, executed, simplified
from models import model_of, residual_convnet
from onnx import helper, numpy_helper
from zoo import ZOO, feeds_for

from optimizer.quantize import quantize
from optimizer.recipe import Recipe
from optimizer.schemes import Int8Dynamic


def test_a_transformer_takes_it_per_channel() -> None:
    """Every projection becomes an integer product with one scale per column."""
    model = ZOO["transformer_encoder"]()
    feeds = feeds_for(model, 2)
    data = simplified(model, feeds)
    form = quantize(data, Recipe(Int8Dynamic()), {})
    graph = onnx.load_model_from_string(form).graph
    assert sum(item.op_type == "MatMulInteger" for item in graph.node) >= 12
    scales = [numpy_helper.to_array(item) for item in graph.initializer if item.name.endswith("_scale")]
    assert {values.size for values in scales} >= {128, 512}
    assert decibels(data, form, feeds) > 30


def test_attention_and_dense_layers_take_it() -> None:
    """A fused Attention becomes QAttention, a Gemm an integer product."""
    random = np.random.default_rng(0)
    weights = {
        "w": random.normal(0, 0.1, (64, 192)).astype(np.float32),
        "b": np.zeros(192, np.float32),
        "v": random.normal(0, 0.1, (64, 8)).astype(np.float32),
        "c": np.zeros(8, np.float32),
    }
    attention = helper.make_node("Attention", ["x", "w", "b"], ["a"], "mix", domain="com.microsoft", num_heads=4)
    nodes = [
        helper.make_node("Identity", ["x"], ["a"], "mix"),
        helper.make_node("ReduceMean", ["a"], ["p"], axes=[1], keepdims=0),
    ]
    nodes.append(helper.make_node("Gemm", ["p", "v", "c"], ["y"], "dense"))
    model = model_of(nodes, weights, {"x": [1, 16, 64]}, {"y": [1, 8]})
    model.graph.node[0].CopyFrom(attention)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    data = model.SerializeToString()
    form = quantize(data, Recipe(Int8Dynamic()), {})
    assert {"QAttention", "DynamicQuantizeMatMul"} <= set(executed(form))
    assert decibels(data, form, {"x": random.normal(0, 1, (1, 16, 64)).astype(np.float32)}) > 25


def test_named_layers_stay_float() -> None:
    """A layer in keep_float is no integer product."""
    model = ZOO["autoencoder"]()
    data = simplified(model, feeds_for(model, 1))
    names = [item.name for item in onnx.load_model_from_string(data).graph.node if item.op_type == "Gemm"]
    form = quantize(data, Recipe(Int8Dynamic(), keep_float=(names[0],)), {})
    found = executed(form)
    assert (found["FusedGemm"], found["DynamicQuantizeMatMul"]) == (1, len(names) - 1)


def test_a_network_of_convolutions_has_only_its_classifier_changed() -> None:
    """Convolutions are slower in this form."""
    form = quantize(residual_convnet().SerializeToString(), Recipe(Int8Dynamic()), {})
    assert "ConvInteger" not in executed(form)
