"""Histograms from calibration data, against looking at every value; memory that does not grow."""

from __future__ import annotations

import tracemalloc
from typing import Any, cast

import numpy as np
import onnx
import pytest
from models import images, model_of, residual_convnet
from numpy.typing import NDArray
from onnx import helper

from edge_runtime.errors import BadInput
from edge_runtime.inference.ort import OrtEngine, SessionSettings
from optimizer.calibrate.histogram import BINS, Histogram
from optimizer.calibrate.observe import observe
from optimizer.calibrate.ranges import ranges_of
from optimizer.data import Dataset
from optimizer.quantize import tensors_to_observe


def silent(done: int, total: int) -> None:
    """Take progress and say nothing."""


class LazyArray:
    """What a file on disk is read through: only slices along the first axis exist."""

    def __init__(self, length: int) -> None:
        self.shape, self.ndim, self.dtype = (length, 3, 16, 16), 4, np.dtype(np.float32)
        self.longest = 0
        self._again_and_again = images(50)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        indices = range(*part.indices(len(self)))
        self.longest = max(self.longest, len(indices))
        return self._again_and_again[np.array(indices) % 50]


def _dataset(x: object, source: str = "x.npz") -> Dataset:
    return Dataset({"x": cast("NDArray[Any]", x)}, None, source)


def _same(one: Histogram, other: Histogram) -> bool:
    """Compare two histograms of one tensor; sums in another order differ in the last bits of a value."""
    moved = int(np.abs(one.counts - other.counts).sum()) if one.edge_low == other.edge_low else -1
    ends = np.allclose([one.low, one.high], [other.low, other.high], rtol=1e-5, atol=1e-6)
    return bool(ends) and one.count == other.count and 0 <= moved <= 0.002 * one.counts.sum() + 2


@pytest.mark.parametrize("batch", ["N", 1, 4])
@pytest.mark.parametrize("count", [1, 8, 13])
def test_ranges_equal_a_brute_force_look(batch: int | str, count: int) -> None:
    """Any number of samples, full batches or not, dynamic or fixed: the exact extremes, and each value counted once."""
    data = residual_convnet(batch=batch).SerializeToString()
    tensors, x = tensors_to_observe(data), images(count)
    reported: list[tuple[int, int]] = []
    histograms = observe(data, tensors, _dataset(x), lambda *done: reported.append(done))
    assert set(histograms) == {"x", "c1", "r1", "c2", "a", "r2", "p", "f", "y"}
    exposed = residual_convnet()
    exposed.graph.output.extend(helper.make_tensor_value_info(name, 1, None) for name in tensors if name not in "xy")
    values = OrtEngine(exposed.SerializeToString(), SessionSettings(optimize=False)).run({"x": x}) | {"x": x}
    for name, histogram in histograms.items():
        seen = (histogram.low, histogram.high)
        assert seen == pytest.approx((values[name].min(), values[name].max()), rel=1e-5, abs=1e-6)
        reference = Histogram()
        reference.update(values[name])
        assert _same(histogram, reference)
    assert reported[-1] == (count, count)


@pytest.mark.parametrize("memory", [1, 50_000, 100_000, 200_000])
def test_in_groups_the_histograms_are_the_same(memory: int) -> None:
    """A budget that some or none of the tensors fit: more passes over the data, nothing else changes."""
    data = residual_convnet().SerializeToString()
    tensors, x = tensors_to_observe(data), images(9)
    reported: list[tuple[int, int]] = []
    grouped = observe(data, tensors, _dataset(x), lambda *done: reported.append(done), memory)
    whole = observe(data, tensors, _dataset(x), silent)
    assert list(grouped) == list(whole) == list(tensors)
    assert all(_same(grouped[name], whole[name]) for name in tensors)
    passes, rest = divmod(reported[-1][1], 9)
    assert rest == 0
    assert passes == {1: 9, 50_000: 5, 100_000: 2, 200_000: 1}[memory]
    assert reported[-1][0] == reported[-1][1]


def test_memory_does_not_grow_with_the_samples() -> None:
    """With 500 and 5000 samples no more bytes are held at the peak than with 50; no lazy array is taken whole."""
    data = residual_convnet().SerializeToString()
    tensors = ["x", "r1", "y"]
    peaks = []
    observe(data, tensors, _dataset(LazyArray(10)), silent)  # what is made once and kept
    for count in (50, 500, 5000):
        samples = LazyArray(count)
        tracemalloc.start()
        histograms = observe(data, tensors, _dataset(samples), silent)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert samples.longest <= 8
        assert {histogram.counts.shape for histogram in histograms.values()} == {(BINS,)}
        assert histograms["x"].count == count * 3 * 16 * 16
    assert max(peaks) <= 1.1 * peaks[0]


def test_open_dimensions_give_no_channels_and_exact_ranges() -> None:
    """A model of any height, width and sequence is watched; what a size-free tensor has is what was seen."""
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Transpose", ["r"], ["y"], perm=[1, 2, 0])]
    model = model_of(nodes, {}, {"x": ["N", "T", "C"]}, {"y": ["T", "C", "N"]})
    x = np.random.default_rng(0).normal(0, 1, (11, 7, 5)).astype(np.float32)
    found = observe(model.SerializeToString(), ["x", "r", "y"], _dataset(x), silent)
    assert ranges_of(found, "minmax")["y"] == (0.0, float(x.max()))
    assert found["r"].channel_high is not None
    assert found["r"].channel_high.tolist() == np.maximum(x, 0).max(axis=(0, 2)).tolist()
    assert found["y"].count == x.size


def test_what_control_flow_reads_stays_computed() -> None:
    """A tensor that only the branches of an If read is not cut away."""
    branch = [
        helper.make_graph([helper.make_node(op, ["r"], [f"out_{op}"])], op, [], [_value(f"out_{op}")])
        for op in ("Neg", "Abs")
    ]
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Exp", ["x"], ["unused"]),
        helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
        helper.make_node("Cast", ["top"], ["flag"], to=onnx.TensorProto.BOOL),
        helper.make_node("If", ["flag"], ["y"], then_branch=branch[0], else_branch=branch[1]),
    ]
    model = model_of(nodes, {}, {"x": ["N", 3]}, {"y": ["N", 3]})
    found = observe(model.SerializeToString(), ["y"], _dataset(np.ones((2, 3), np.float32)), silent)
    assert (found["y"].low, found["y"].high) == (-1.0, -1.0)


def _value(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)


@pytest.mark.parametrize("bad", [0.0, np.inf, np.nan])
def test_an_activation_that_is_not_finite_is_named(bad: float) -> None:
    """A division by zero inside the model would give ranges nobody can use; the first such tensor is named."""
    nodes = [helper.make_node("Div", ["x", "x"], ["d"]), helper.make_node("Relu", ["d"], ["y"])]
    model = model_of(nodes, {}, {"x": ["N", 3]}, {"y": ["N", 3]})
    x = np.ones((20, 3), np.float32)
    x[17] = bad
    with pytest.raises(BadInput, match=r"in d on odd\.npz") as caught:
        observe(model.SerializeToString(), ["y", "d"], _dataset(x, "odd.npz"), silent)
    assert caught.value.code == "E-CALIBRATION-NOT-FINITE"


def test_a_tensor_that_is_not_there_is_refused() -> None:
    """Asking for a tensor that the model does not compute is an error, not an empty histogram."""
    with pytest.raises(BadInput) as caught:
        observe(residual_convnet().SerializeToString(), ["nowhere"], _dataset(images(1)), silent)
    assert caught.value.code == "E-MODEL-LOAD"


def test_no_tensors_need_no_run() -> None:
    """A model with nothing to watch gives nothing."""
    assert observe(residual_convnet().SerializeToString(), [], _dataset(images(1)), silent) == {}


def test_only_float_activations_of_quantizable_operators_are_watched() -> None:
    """Weights need no data, and operators that stay float need no ranges."""
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["s"]),
        helper.make_node("MatMul", ["s", "w"], ["m"]),
        helper.make_node("Softmax", ["m"], ["y"]),
    ]
    weights = {"mean": np.ones(3, np.float32), "w": np.ones((3, 2), np.float32)}
    model = model_of(nodes, weights, {"x": ["N", 3]}, {"y": ["N", 2]})
    assert tensors_to_observe(model.SerializeToString()) == ["m", "s"]


def test_watching_does_not_change_the_users_model() -> None:
    """Observation works on a copy; the outputs it adds do not reach the result."""
    data = residual_convnet().SerializeToString()
    before = bytes(data)
    observe(data, ["r1"], _dataset(images(2)), silent)
    assert data == before
    assert len(onnx.load_model_from_string(data).graph.output) == 1
