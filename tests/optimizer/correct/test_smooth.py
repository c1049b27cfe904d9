"""Smoothing: outlier channels behind a normalisation move into the weights that read them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from int8_error import constants, float_difference, int8_error, interface, quantizer
from models import mlp, model_of
from onnx import helper

from optimizer.correct import smooth

_CHANNELS = 32
SAMPLES = {"x": np.random.default_rng(0).normal(0, 1, (64, 6, _CHANNELS)).astype(np.float32)}
FRESH = {"x": np.random.default_rng(1).normal(0, 1, (64, 6, _CHANNELS)).astype(np.float32)}


def _weights() -> dict[str, Any]:
    """Return a scale with three channels a hundred times the others, whose weights are as much smaller."""
    random = np.random.default_rng(2)
    outliers = np.ones(_CHANNELS, np.float32)
    outliers[[3, 11, 20]] = 100
    return {
        "gamma": random.uniform(0.5, 1.5, _CHANNELS).astype(np.float32) * outliers,
        "beta": random.normal(0, 0.3, _CHANNELS).astype(np.float32) * outliers,
        "wq": random.normal(0, 0.2, (_CHANNELS, 8)).astype(np.float32) / outliers.reshape(-1, 1),
        "wk": random.normal(0, 0.2, (_CHANNELS, 8)).astype(np.float32) / outliers.reshape(-1, 1),
    }


def _products(tensor: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("MatMul", [tensor, "wq"], ["q"], "query"),
        helper.make_node("MatMul", [tensor, "wk"], ["k"], "key"),
        helper.make_node("Sum", ["q", "k"], ["y"], "sum"),
    ]


def _model(nodes: list[onnx.NodeProto], weights: dict[str, Any]) -> bytes:
    used = {name for node in nodes for name in node.input}
    kept = {name: array for name, array in weights.items() if name in used}
    return model_of(nodes, kept, {"x": ["N", 6, _CHANNELS]}, {"y": ["N", 6, 8]}).SerializeToString()


def normalised() -> bytes:
    """LayerNormalization read by two products: [N,6,32] -> [N,6,8]."""
    node = helper.make_node("LayerNormalization", ["x", "gamma", "beta"], ["n"], "norm")
    return _model([node, *_products("n")], _weights())


def written_out(offset: bool = True) -> bytes:
    """Do the same, node by node; without the offset and the mean it is a root-mean-square normalisation."""
    nodes = [
        helper.make_node("ReduceL2", ["x"], ["l"], "size", axes=[-1]),
        helper.make_node("Div", ["x", "l"], ["d"], "divide"),
        helper.make_node("Mul", ["d", "gamma"], ["m"], "scale"),
        helper.make_node("Add", ["beta", "m"], ["n"], "offset"),
    ]
    kept = nodes if offset else nodes[:3]
    return _model([*kept, *_products("n" if offset else "m")], _weights())


@pytest.mark.parametrize(
    "data", [normalised(), written_out(), written_out(offset=False)], ids=["LayerNormalization", "Mul-Add", "Mul"]
)
def test_outlier_channels_no_longer_drown_the_others(data: bytes) -> None:
    """The error falls to less than a fifth; function, interface, nodes and bytes are stable."""
    smoothed = smooth.apply(data, quantizer(SAMPLES), SAMPLES)
    before, after = (int8_error(model, data, SAMPLES, FRESH) for model in (data, smoothed))
    assert after < before / 5
    assert float_difference(smoothed, data, FRESH) < 1e-5
    assert interface(smoothed) == interface(data)
    nodes = [onnx.load_model_from_string(model).graph.node for model in (data, smoothed)]
    assert list(nodes[0]) == list(nodes[1])
    assert smooth.apply(data, quantizer(SAMPLES), SAMPLES) == smoothed


def test_a_scale_that_two_normalisations_share_is_divided() -> None:
    """The second normalisation, whose output is used otherwise, keeps the old scale."""
    nodes = [
        helper.make_node("LayerNormalization", ["x", "gamma"], ["o"], "other"),
        helper.make_node("LayerNormalization", ["o", "gamma"], ["n"], "norm"),
        *_products("n"),
    ]
    data = _model(nodes, _weights())
    smoothed = smooth.apply(data, quantizer(SAMPLES), SAMPLES)
    assert float_difference(smoothed, data, FRESH) < 1e-5
    assert np.array_equal(constants(smoothed)["gamma"], constants(data)["gamma"])


def _with_residual() -> bytes:
    nodes = [
        helper.make_node("LayerNormalization", ["x", "gamma", "beta"], ["n"], "norm"),
        helper.make_node("MatMul", ["n", "w"], ["m"], "product"),
        helper.make_node("Sum", ["n", "m"], ["y"], "residual"),
    ]
    weights = {**_weights(), "w": np.eye(_CHANNELS, dtype=np.float32)}
    shape = ["N", 6, _CHANNELS]
    kept = {name: weights[name] for name in ("gamma", "beta", "w")}
    return model_of(nodes, kept, {"x": shape}, {"y": shape}).SerializeToString()


@pytest.mark.parametrize("data", [_with_residual(), mlp().SerializeToString()], ids=["residual", "no normalisation"])
def test_what_has_nothing_to_fold_into_comes_back_as_it_is(data: bytes) -> None:
    """A normalised tensor that also goes elsewhere, or no normalisation at all: byte for byte the same."""
    assert smooth.apply(data, quantizer(SAMPLES), SAMPLES) == data
