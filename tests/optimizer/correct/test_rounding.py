"""Learned rounding: weights on the int8 grid, chosen by what they do to the layer's outputs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx
import pytest
from int8_error import constants, int8_error, interface, quantizer
from models import mlp, model_of, tree
from numpy.typing import NDArray
from onnx import helper

from edge_runtime.inference.ort import OrtEngine, SessionSettings
from optimizer.correct import rounding
from optimizer.correct.layers import FloatGraph
from optimizer.correct.unfold import columns_of, rows_of, weight_of

Values = NDArray[np.float32]


def _related(count: int, seed: int, inputs: int = 48, causes: int = 6) -> Values:
    """Return inputs that follow from few causes, as activations do."""
    mixing = np.random.default_rng(7).normal(0, 1, (causes, inputs))
    random = np.random.default_rng(seed)
    values = random.uniform(0, 1, (count, causes)) @ mixing + random.normal(0, 0.05, (count, inputs))
    return values.astype(np.float32)


def narrow() -> bytes:
    """One layer whose largest weight leaves few steps for the others: [N,48] -> [N,4]."""
    random = np.random.default_rng(3)
    weight = random.normal(0, 0.02, (4, 48)).astype(np.float32)
    weight[:, 0] = 1.0
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], "dense", transB=1)
    weights = {"w": weight, "b": np.zeros(4, np.float32)}
    return model_of([node], weights, {"x": ["N", 48]}, {"y": ["N", 4]}).SerializeToString()


SAMPLES, FRESH = {"x": _related(256, 0)}, {"x": _related(256, 1)}


def test_rounding_by_effect_beats_rounding_to_nearest() -> None:
    """Where few steps are left the int8 error falls to less than half; interface and bytes are stable."""
    data = narrow()
    rounded = rounding.apply(data, quantizer(SAMPLES), SAMPLES)
    before, after = (int8_error(model, data, SAMPLES, FRESH) for model in (data, rounded))
    assert after < before / 2
    assert interface(rounded) == interface(data)
    assert rounding.apply(data, quantizer(SAMPLES), SAMPLES) == rounded


def test_the_quantizer_finds_the_very_codes_that_were_chosen() -> None:
    """Each weight is its scale times an integer next to what it was, the largest unchanged."""
    data = narrow()
    rounded = rounding.apply(data, quantizer(SAMPLES), SAMPLES)
    old, new = constants(data)["w"], constants(rounded)["w"]
    scale = np.abs(old).max(axis=1, keepdims=True) / 127
    chosen = np.rint(new / scale)
    assert np.abs(new / scale - chosen).max() < 1e-4
    assert np.array_equal(np.abs(new).max(axis=1), np.abs(old).max(axis=1))
    assert np.abs(new - old).max() < scale.max() * 1.001
    assert not np.array_equal(chosen, np.rint(old / scale))
    stored = [array for array in constants(quantizer(SAMPLES)(rounded)).values() if array.dtype == np.int8]
    codes = next(array for array in stored if array.shape == chosen.shape)
    assert np.array_equal(codes, chosen)


def test_few_weights_are_rounded_nearly_as_well_as_by_trying_every_way() -> None:
    """Against all 2^8 ways for each of ten rows: never better, on average within a quarter, nearest far behind."""
    random = np.random.default_rng(0)
    inputs = _related(400, 5, inputs=8, causes=2).astype(np.float64)
    gram = (inputs.T @ inputs / len(inputs))[np.newaxis]
    exact = random.uniform(-100, 100, (1, 10, 8))
    found = rounding.round_by_effect(exact, gram)
    assert np.array_equal(found, np.rint(found))
    assert (np.abs(found - exact) < 1).all()

    def errors(codes: NDArray[np.float64]) -> NDArray[np.float64]:
        change = codes - exact[0]
        return np.einsum("oi,ij,oj->o", change, gram[0], change)

    ways = [errors(np.floor(exact[0]) + np.array(way)) for way in itertools.product((0, 1), repeat=8)]
    best, nearest, ours = np.min(ways, axis=0), errors(np.rint(exact[0])), errors(found[0])
    assert (ours >= best - 1e-9).all()
    assert ours.mean() < nearest.mean() / 4


def test_inputs_that_say_nothing_round_to_nearest() -> None:
    """Without any input there is no reason to leave the nearest step, and nothing divides by zero."""
    exact = np.random.default_rng(0).uniform(-9, 9, (2, 3, 5))
    assert np.array_equal(rounding.round_by_effect(exact, np.zeros((2, 5, 5))), np.rint(exact))


def test_large_layers_and_float_layers_are_skipped_with_a_reason() -> None:
    """The budget counts operations, not seconds; what the recipe keeps in float keeps its weights."""
    data, samples = mlp().SerializeToString(), {"x": np.random.default_rng(0).normal(0, 1, (32, 8)).astype(np.float32)}
    poor = rounding.learn(data, quantizer(samples), samples, budget=10)
    assert poor.data == data
    assert all("multiply-adds" in reason for reason in poor.skipped.values())
    partly = rounding.learn(data, quantizer(samples, keep_float=("dense2",)), samples)
    assert partly.skipped["dense2"] == "stays float"
    assert np.array_equal(constants(partly.data)["w2"], constants(data)["w2"])


def test_a_rounded_model_is_not_rounded_again() -> None:
    """Weights on the grid have no other step beside them: byte for byte the same, as for a model of trees."""
    rounded = rounding.apply(narrow(), quantizer(SAMPLES), SAMPLES)
    assert rounding.apply(rounded, quantizer(SAMPLES), SAMPLES) == rounded
    trees = tree().SerializeToString()
    assert rounding.apply(trees, quantizer({}), {"x": np.ones((4, 2), np.float32)}) == trees


_CONVOLUTIONS: list[tuple[list[int], list[int], dict[str, Any]]] = [
    ([6, 4, 3, 3], [4, 9, 8], {"pads": [1, 0, 2, 1]}),
    ([6, 2, 3, 2], [4, 9, 8], {"group": 2, "strides": [2, 1]}),
    ([4, 1, 3, 3], [4, 9, 8], {"group": 4, "dilations": [2, 1]}),
    ([5, 4, 3], [4, 11], {"auto_pad": "SAME_UPPER", "strides": [2]}),
    ([5, 4, 4], [4, 11], {"auto_pad": "SAME_LOWER"}),
    ([5, 4, 4], [4, 11], {"auto_pad": "VALID"}),
    ([3, 2, 2, 2, 2], [2, 4, 5, 3], {}),
]


@pytest.mark.parametrize(("weight", "sizes", "attributes"), _CONVOLUTIONS)
def test_a_convolution_is_the_product_of_its_rows_and_columns(
    weight: list[int], sizes: list[int], attributes: dict[str, Any]
) -> None:
    """Rows times columns give what onnxruntime computes, with pads, strides, dilations and groups."""
    random = np.random.default_rng(0)
    node = helper.make_node("Conv", ["x", "w"], ["y"], "conv", **attributes)
    weights = {"w": random.normal(0, 1, weight).astype(np.float32)}
    model = model_of([node], weights, {"x": ["N", *sizes]}, {"y": ["N", *[None] * len(sizes)]})
    x = random.normal(0, 1, (3, *sizes)).astype(np.float32)
    expected = OrtEngine(model.SerializeToString(), SessionSettings(optimize=False)).run({"x": x})["y"]
    (layer,) = FloatGraph(model.SerializeToString()).layers()
    rows, columns = rows_of(layer, layer.weight), columns_of(layer, x, 10**9)
    outputs = np.einsum("gok,gvk->vgo", rows, columns).reshape(3, -1, weight[0])
    assert np.allclose(np.moveaxis(outputs, 2, 1).reshape(expected.shape), expected, atol=1e-4)
    assert np.array_equal(weight_of(layer, rows), layer.weight)
    assert columns_of(layer, x, 7).shape[1] == 7


def test_only_what_helps_on_held_out_samples_is_kept() -> None:
    """Learned from samples that say the opposite of those held out, the rounding is thrown away."""
    samples = _related(64, 0)
    samples[3::4] = np.random.default_rng(9).normal(0, 30, (16, 48)).astype(np.float32)
    found = rounding.learn(narrow(), quantizer({"x": samples}), {"x": samples})
    assert found.skipped == {"dense": "nearest rounding is as good on held-out samples"}
    assert onnx.load_model_from_string(found.data) == onnx.load_model_from_string(narrow())
