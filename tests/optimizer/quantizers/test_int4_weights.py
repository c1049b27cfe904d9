"""4-bit weights: how they are packed, and that onnxruntime reads them so."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from models import model_of
from onnx import helper

from edge_runtime.inference.ort import OrtEngine
from optimizer.quantize import quantize
from optimizer.quantizers.int4_weights import pack
from optimizer.recipe import Recipe
from optimizer.schemes import Int4Weights


def _unpacked(codes: np.ndarray, scales: np.ndarray, inner: int) -> np.ndarray:  # type: ignore[type-arg]
    values = np.stack([codes & 15, codes >> 4], axis=-1).reshape(*codes.shape[:2], -1).astype(np.float32)
    return ((values - 8) * scales[..., None]).reshape(len(codes), -1)[:, :inner].T


@pytest.mark.parametrize("inner", [64, 96, 100])
def test_blocks_are_within_half_a_step(inner: int) -> None:
    """Each block of 32 has its own scale, the last one is filled up with zeros."""
    weight = np.random.default_rng(inner).normal(0, 1, (inner, 48)).astype(np.float32)
    weight[:32, 5] = 0
    codes, scales = pack(weight)
    assert codes.shape == (48, -(-inner // 32), 16)
    steps = np.abs(scales).repeat(32, axis=1)[:, :inner].T
    assert (np.abs(_unpacked(codes, scales, inner) - weight) <= steps + 1e-6).all()
    assert np.mean(np.abs(_unpacked(codes, scales, inner) - weight) <= steps / 2 + 1e-6) > 0.98


@pytest.mark.parametrize("inner", [96, 100])
def test_onnxruntime_reads_what_was_packed(inner: int) -> None:
    """The product is that with the rounded weights, up to the rounding of activations to 8 bits."""
    random = np.random.default_rng(0)
    weight = random.normal(0, 1, (inner, 48)).astype(np.float32)
    node = helper.make_node("MatMul", ["x", "w"], ["y"], "dense")
    data = model_of([node], {"w": weight}, {"x": ["N", inner]}, {"y": ["N", 48]}).SerializeToString()
    x = random.normal(0, 1, (20, inner)).astype(np.float32)
    form = quantize(data, Recipe(Int4Weights()), {})
    expected = x @ _unpacked(*pack(weight), inner)
    difference = OrtEngine(form).run({"x": x})["y"] - expected
    assert np.sqrt(np.mean(difference**2)) < 0.02 * expected.std()
    assert len(form) < len(data) / 4


def test_small_and_kept_matrices_stay() -> None:
    """Below 4096 weights nothing is gained; a node named in keep_float keeps its matrix."""
    weights = {name: np.ones((64, 64), np.float32) for name in ("a", "b")} | {"c": np.ones((64, 8), np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"], "first"),
        helper.make_node("MatMul", ["h", "b"], ["g"], "second"),
        helper.make_node("MatMul", ["g", "c"], ["y"], "third"),
    ]
    data = model_of(nodes, weights, {"x": ["N", 64]}, {"y": ["N", 8]}).SerializeToString()
    form = quantize(data, Recipe(Int4Weights(), keep_float=("second",)), {})
    kinds = [item.op_type for item in onnx.load_model_from_string(form).graph.node]
    assert kinds == ["MatMulNBits", "MatMul", "MatMul"]
