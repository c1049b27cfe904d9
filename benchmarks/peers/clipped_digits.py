"""A network that saturates: digits recognised with weights that were clipped while training.

Clipping keeps weights small, and makes many of them equal to the bound: they become codes of 127 next to each other,
and where the activations behind them are large as well, two products exceed 16 bits.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.inference.engine import Array

_SIZES = (64, 256, 256, 256, 10)
_BOUND = 0.04  # of a weight's magnitude
_EPOCHS = 30
_BATCH = 32
_RATE = 1e-3
_TEST = 600

Weights = list[NDArray[np.float32]]


def write(folder: Path) -> tuple[Path, Path, Path]:
    """Train, and write the model, samples to calibrate with, and labelled samples to judge by; seeded."""
    from sklearn.datasets import load_digits  # 1797 labelled 8 x 8 images, part of scikit-learn

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    x, y = (images[order] / 16).astype(np.float32), labels[order].astype(np.int64)
    model = folder / "clipped_digits.onnx"
    model.write_bytes(_as_onnx(train(x[_TEST:], y[_TEST:])))
    calibration, evaluation = folder / "digits_train.npz", folder / "digits_test.npz"
    np.savez(calibration, x=x[_TEST : _TEST + 200])
    np.savez(evaluation, x=x[:_TEST], y=y[:_TEST])
    return model, calibration, evaluation


def train(x: Array, y: Array) -> Weights:
    """Return the weights of a multilayer perceptron trained by Adam on the cross entropy, clipped after each step."""
    random = np.random.default_rng(1)
    shapes = itertools.pairwise(_SIZES)
    weights = [random.uniform(-_BOUND, _BOUND, shape).astype(np.float32) for shape in shapes]
    means, squares = ([np.zeros_like(weight) for weight in weights] for _ in range(2))
    step = 0
    for _ in range(_EPOCHS):
        order = random.permutation(len(y))
        for start in range(0, len(y) - _BATCH + 1, _BATCH):
            step += 1
            picked = order[start : start + _BATCH]
            for index, gradient in enumerate(_gradients(weights, x[picked], y[picked])):
                means[index] = 0.9 * means[index] + 0.1 * gradient
                squares[index] = 0.999 * squares[index] + 0.001 * gradient**2
                change = means[index] / (1 - 0.9**step) / (np.sqrt(squares[index] / (1 - 0.999**step)) + 1e-8)
                weights[index] = np.clip(weights[index] - _RATE * change, -_BOUND, _BOUND).astype(np.float32)
    return weights


def _gradients(weights: Weights, x: Array, y: Array) -> Weights:
    inputs = [x]
    for weight in weights[:-1]:
        inputs.append(np.maximum(inputs[-1] @ weight, 0))
    scores = inputs[-1] @ weights[-1]
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    error = chances / chances.sum(axis=1, keepdims=True)
    error[np.arange(len(y)), y] -= 1
    error /= len(y)
    gradients = []
    for into, weight in zip(inputs[::-1], weights[::-1], strict=True):
        gradients.append(into.T @ error)
        error = (error @ weight.T) * (into > 0)
    return gradients[::-1]


def _as_onnx(weights: Weights) -> bytes:
    nodes = []
    for index in range(len(weights)):
        end = "y" if index == len(weights) - 1 else f"sum{index}"
        nodes.append(
            helper.make_node("MatMul", [f"active{index - 1}" if index else "x", f"w{index}"], [end], f"dense{index}")
        )
        if end != "y":
            nodes.append(helper.make_node("Relu", [end], [f"active{index}"], f"relu{index}"))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size])
        for name, size in (("x", _SIZES[0]), ("y", _SIZES[-1]))
    ]
    constants = [numpy_helper.from_array(weight, f"w{index}") for index, weight in enumerate(weights)]
    graph = helper.make_graph(nodes, "clipped_digits", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
