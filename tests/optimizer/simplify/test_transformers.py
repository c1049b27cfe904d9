"""Transformers: residual sums and merged products; activations in fewer passes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from rewriting import operators, rewritten, unchanged
from zoo import Net, transformer_encoder

from edge_runtime.inference.ort import SessionSettings, executed_graph
from optimizer.load import count_operators
from optimizer.simplify import hard_swish, merge_projections, sum_residuals


@pytest.mark.parametrize("decomposed", [False, True])
def test_residuals_before_normalizations(decomposed: bool) -> None:
    """Two per layer become Sum, in both forms of the normalization, and the slow fused kernel is not used."""
    model = transformer_encoder(decomposed=decomposed)
    after = rewritten(model, sum_residuals.apply)
    assert operators(after)["Sum"] == 4
    executed = onnx.load_model_from_string(executed_graph(after.SerializeToString(), SessionSettings()))
    kernels = count_operators(executed.graph)
    assert "SkipLayerNormalization" not in kernels
    assert kernels["LayerNormalization"] == 5


def test_other_additions_stay() -> None:
    """An Add of a constant, or one that no normalization reads."""
    net = Net(0)
    x = net.add("Add", ["x", net.constant(np.linspace(0, 1, 8))])
    x = net.add("LayerNormalization", [x, net.constant(np.ones(8)), net.constant(np.zeros(8))])
    net.add("Add", [x, "x"], "y")
    assert unchanged(net.model({"x": ["N", 8]}, {"y": ["N", 8]}), sum_residuals.apply)


def test_query_key_and_value_are_one_product() -> None:
    """Six products with their biases become two, each with one Add and one Split."""
    model = transformer_encoder()
    before, after = operators(model), operators(rewritten(model, merge_projections.apply))
    assert before["MatMul"] - after["MatMul"] == 4
    assert before["Add"] - after["Add"] == 4
    assert after["Split"] == 2


@pytest.mark.parametrize("rank", [2, 3])
def test_products_of_uneven_width_without_bias(rank: int) -> None:
    """Any widths; one of the parts is a model output."""
    net, shape = Net(0), [*["N", 5][: rank - 1], 8]
    net.add("MatMul", ["x", net.he(8, 3, fan_in=8)], "a")
    net.add("Relu", [net.add("MatMul", ["x", net.he(8, 5, fan_in=8)])], "b")
    model = net.model({"x": shape}, {"a": [*shape[:-1], 3], "b": [*shape[:-1], 5]})
    assert operators(rewritten(model, merge_projections.apply)) == {"MatMul": 1, "Split": 1, "Relu": 1}


def test_a_single_product_and_one_of_two_tensors_stay() -> None:
    """There is nothing to merge, or no constant weight."""
    net = Net(0)
    net.add("MatMul", ["x", net.he(8, 8, fan_in=8)], "a")
    net.add("MatMul", ["x", "z"], "b")
    model = net.model({"x": ["N", 8], "z": [8, 4]}, {"a": ["N", 8], "b": ["N", 4]})
    assert unchanged(model, merge_projections.apply)


@pytest.mark.parametrize("form", ["x * c / 6", "x * (c / 6)", "c * x * 1/6", "c / 6"])
def test_hard_swish(form: str) -> None:
    """In each order that exporters write it, and hard-sigmoid alone."""
    net = Net(0)
    clip = net.add("Clip", [net.add("Add", ["x", net.constant(3.0)]), net.constant(0.0), net.constant(6.0)])
    six, sixth = net.constant(6.0), net.constant(1 / 6)
    if form == "x * c / 6":
        net.add("Div", [net.add("Mul", ["x", clip]), six], "y")
    elif form == "x * (c / 6)":
        net.add("Mul", ["x", net.add("Div", [clip, six])], "y")
    elif form == "c * x * 1/6":
        net.add("Mul", [net.add("Mul", [clip, "x"]), sixth], "y")
    else:
        net.add("Div", [clip, six], "y")
    after = operators(rewritten(net.model({"x": ["N", 9]}, {"y": ["N", 9]}), hard_swish.apply))
    assert after == ({"HardSigmoid": 1} if form == "c / 6" else {"HardSigmoid": 1, "Mul": 1})


@pytest.mark.parametrize(("shift", "top", "divisor"), [(2.0, 6.0, 6.0), (3.0, 5.0, 6.0), (3.0, 6.0, 5.0)])
def test_other_clips_stay(shift: float, top: float, divisor: float) -> None:
    """Other numbers are another function."""
    net = Net(0)
    clip = net.add("Clip", [net.add("Add", ["x", net.constant(shift)]), net.constant(0.0), net.constant(top)])
    net.add("Mul", ["x", net.add("Div", [clip, net.constant(divisor)])], "y")
    assert unchanged(net.model({"x": ["N", 9]}, {"y": ["N", 9]}), hard_swish.apply)
