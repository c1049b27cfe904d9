"""Products that exceed 16 bits: told from weights and codes, and held against what the processor computes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pytest
from forms import Seen, ranges_of, static
from models import images, model_of, residual_convnet
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from devices import profile
from devices.host import int8_dot_products_saturate
from devices.profile import Device
from edge_runtime.inference.ort import GUARD, OrtEngine, SessionSettings
from edge_runtime.package.manifest import Needs
from optimizer.placement import layers_of
from optimizer.quantize import quantize
from optimizer.recipe import Recipe
from optimizer.saturation import (
    is_depthwise,
    kernels_saturate,
    largest_sums,
    needs_of_sums,
    rows_of,
    saturating_layers,
)
from optimizer.schemes import Int8Static

UNGUARDED = SessionSettings(config={GUARD: "0"})
GUARDED = SessionSettings(config={GUARD: "1"})
without_vnni = pytest.mark.skipif(
    not int8_dot_products_saturate(), reason="this processor has no saturating kernels to compare with"
)


@dataclass(frozen=True)
class Kind:
    """A kind of layer."""

    operator: str
    inputs: int
    outputs: int
    kernel: tuple[int, ...] = ()
    group: int = 1

    @property
    def weight(self) -> tuple[int, ...]:
        """Return the shape of its weight."""
        if self.operator == "Conv":
            return (self.outputs, self.inputs // self.group, *self.kernel)
        return (self.outputs, self.inputs) if self.operator == "Gemm" else (self.inputs, self.outputs)

    @property
    def node(self) -> onnx.NodeProto:
        """Return its node."""
        if self.operator == "Conv":
            pads = [size // 2 for size in self.kernel] * 2
            return helper.make_node("Conv", ["x", "w"], ["y"], "layer", pads=pads, group=self.group)
        settings = {"transB": 1} if self.operator == "Gemm" else {}
        return helper.make_node(self.operator, ["x", "w"], ["y"], "layer", **settings)

    def model(self, weight: NDArray[Any]) -> bytes:
        """Return a model of this layer alone."""
        sides = ["A", "B"][: len(self.kernel)]
        shapes = {"x": ["N", self.inputs, *sides]}, {"y": ["N", self.outputs, *sides]}
        return model_of([self.node], {"w": weight.astype(np.float32)}, *shapes).SerializeToString()

    def batch(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return values between 0 and 1, both among them, shaped as its input."""
        size = self.inputs * 6 ** len(self.kernel)
        return np.resize(values, (values.size // size, self.inputs, *[6] * len(self.kernel))).astype(np.float32)


KINDS = (
    Kind("Conv", 16, 8, (3, 3)),
    Kind("Conv", 3, 8, (3, 3)),
    Kind("Conv", 1, 8, (3, 3)),
    Kind("Conv", 12, 8, (1, 1)),
    Kind("Conv", 16, 8, (3, 3), 2),
    Kind("Conv", 6, 8, (3, 3), 2),
    Kind("Conv", 8, 16, (3, 3), 8),
    Kind("Conv", 16, 16, (3, 3), 16),
    Kind("Conv", 5, 8, (5,)),
    Kind("MatMul", 33, 16),
    Kind("MatMul", 64, 1),
    Kind("Gemm", 16, 3),
)


def _name(kind: Kind) -> str:
    return f"{kind.operator}{kind.weight}"


def _large_weights(kind: Kind, seed: int) -> NDArray[np.float32]:
    """Return whole numbers up to 127, many of them large and neighbours often alike, so that scales are 1."""
    random = np.random.default_rng(seed)
    weight = random.integers(-127, 128, kind.weight)
    weight = np.where(random.random(kind.weight) < 0.5, np.abs(weight), weight)
    rows_of(kind.node, weight)[:, 0] = 127  # not a view of every layout: the first output may have no 127
    return weight.astype(np.float32)


def _extremes(kind: Kind, seed: int, batch: int = 3) -> NDArray[np.float32]:
    """Return inputs that are often the largest there is."""
    random = np.random.default_rng(seed)
    values = random.random(batch * kind.inputs * 6 ** len(kind.kernel))
    values = np.where(random.random(values.size) < 0.6, 1.0, values)
    values[:2] = 0, 1
    return kind.batch(values)


def _form(kind: Kind, weight: NDArray[np.float32], x: NDArray[np.float32], *, reduced: bool) -> bytes:
    data = kind.model(weight)
    recipe = Recipe(Int8Static(), reduced=layers_of(data).names if reduced else ())
    return quantize(data, recipe, ranges_of(data, {"x": x}))


def _patches(kind: Kind, codes: NDArray[Any]) -> NDArray[np.int64]:
    """Return what each row of the weight meets: (N, places, rows, summed axis)."""
    if kind.operator != "Conv":
        return np.repeat(codes[:, None, None, :], kind.outputs, axis=2).astype(np.int64)
    pads = [(0, 0), (0, 0), *[(size // 2,) * 2 for size in kind.kernel]]
    axes = tuple(range(2, 2 + len(kind.kernel)))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(codes, pads), kind.kernel, axes)
    windows = np.moveaxis(windows, 1, 1 + len(kind.kernel))  # (N, places..., C, kernel...)
    windows = windows.reshape(len(codes), -1, kind.group, kind.inputs // kind.group, *kind.kernel)
    windows = np.repeat(windows, kind.outputs // kind.group, axis=2)
    return np.moveaxis(windows, 3, -1).reshape(*windows.shape[:3], -1).astype(np.int64)


def _computed(kind: Kind, weight: NDArray[Any], codes: NDArray[Any], *, saturating: bool) -> NDArray[np.int64]:
    """Return the sums as kernels add them, (N, outputs, places)."""
    rows = rows_of(kind.node, weight.astype(np.int64))
    products = _patches(kind, codes) * rows
    products = np.pad(products, ((0, 0), (0, 0), (0, 0), (0, products.shape[-1] % 2)))
    pairs = products.reshape(*products.shape[:-1], -1, 2).sum(axis=-1)
    if saturating and not is_depthwise(kind.node, weight):
        pairs = np.clip(pairs, -32768, 32767)
    return np.moveaxis(pairs.sum(axis=-1), 1, 2)


def _rounded(form: bytes, sums: NDArray[Any], scales: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return sums as the model hands them out: to the steps of its output, where that is rounded."""
    graph = onnx.load_model_from_string(form).graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    values = (sums * scales[:, None].astype(np.float32)).astype(np.float32).reshape(shape)
    if graph.node[-1].op_type != "DequantizeLinear":
        return values
    scale, zero = (constants[name] for name in graph.node[-1].input[1:3])
    return (np.clip(np.rint(values / scale) + zero, 0, 255) - zero).astype(np.float32) * scale


def _weight_of(form: bytes) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the layer's weight codes and scales."""
    graph = onnx.load_model_from_string(form).graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    layer = next(node for node in graph.node if node.name == "layer")
    restore = next(node for node in graph.node if node.output[0] == layer.input[1])
    return constants[restore.input[0]], constants[restore.input[1]]


def test_the_largest_sum_is_that_of_trying_all_corners() -> None:
    """Sums are linear in the activations, so their extremes lie at the ends of the codes they can take."""
    random = np.random.default_rng(0)
    rows = random.integers(-127, 128, (50, 6)).astype(np.int8)
    lowest = random.integers(0, 100, rows.shape)
    highest = lowest + random.integers(0, 156, rows.shape)
    for ends in ((0, 255), (lowest, highest)):
        low, high = (np.broadcast_to(end, rows.shape) for end in ends)
        for row, found in enumerate(largest_sums(rows, *ends)):
            weights = rows[row].astype(int)
            sums = [
                abs(first * weights[at] + second * weights[at + 1])
                for at in (0, 2, 4)
                for first, second in itertools.product(*((low[row, k], high[row, k]) for k in (at, at + 1)))
            ]
            assert found == max(sums)


@without_vnni
@pytest.mark.parametrize("kind", KINDS, ids=_name)
def test_kernels_add_the_neighbours_that_are_told(kind: Kind) -> None:
    """Sums clipped pair by pair equal those of the processor in every bit; with the guard they equal exact ones."""
    x = _extremes(kind, seed=1)
    form = _form(kind, _large_weights(kind, seed=2), x, reduced=False)
    weight, scales = _weight_of(form)
    codes = np.rint(x * 255).astype(np.int64)
    for settings, saturating in ((UNGUARDED, True), (GUARDED, False)):
        made = OrtEngine(form, settings).run({"x": x})["y"]
        sums = _computed(kind, weight, codes, saturating=saturating)
        expected = _rounded(form, sums, scales * np.float32(1 / 255), made.shape)
        step = np.abs(expected).max() / 255 if kind.operator == "Conv" else 0.0
        assert np.mean(np.abs(made - expected) > 1e-5 * np.abs(expected).max()) < 0.002  # a tie rounds either way
        assert np.abs(made - expected).max() <= 1.01 * step + 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS, ids=_name)
def test_a_layer_called_safe_computes_the_same_on_every_processor(kind: Kind, seed: int) -> None:
    """With reduced weights no layer is at risk, and the guard makes no difference in any bit."""
    x = _extremes(kind, seed=10 + seed)
    form = _form(kind, _large_weights(kind, seed), x, reduced=True)
    assert saturating_layers(form) == ()
    weight, _ = _weight_of(form)
    codes = np.rint(x * 255).astype(np.int64)
    clipped, exact = (_computed(kind, weight, codes, saturating=saturating) for saturating in (True, False))
    assert np.array_equal(clipped, exact)
    with_guard, without = (OrtEngine(form, settings).run({"x": x})["y"] for settings in (GUARDED, UNGUARDED))
    assert np.array_equal(with_guard, without)


@pytest.mark.parametrize("operator", ["MatMul", "Gemm"])
def test_a_layer_at_risk_computes_wrong_on_an_input_made_for_it(operator: str) -> None:
    """Where a sum just exceeds 16 bits (129 * 255), the input that reaches it gives another result; 128 * 255 none."""
    kind = Kind(operator, 8, 2)
    weight = np.zeros((2, 8), np.float32)
    weight[0, :4] = 127, 1, 0, 127  # 128 in the first pair
    weight[1, :4] = 127, 2, 0, -127  # 129 in the first pair
    x = np.zeros((2, 8), np.float32)
    x[0, :2] = 1
    form = _form(kind, weight if operator == "Gemm" else weight.T, x, reduced=False)
    (risk,) = saturating_layers(form)
    assert (risk.layer, risk.channels, risk.largest) == ("layer", 0.5, 129 * 255)
    codes, _ = _weight_of(form)
    clipped = _computed(kind, codes, np.rint(x * 255).astype(np.int64), saturating=True)
    assert clipped[0].ravel().tolist() == [128 * 255, 32767]
    if int8_dot_products_saturate():
        with_guard, without = (OrtEngine(form, settings).run({"x": x})["y"] for settings in (GUARDED, UNGUARDED))
        assert (with_guard != without).tolist() == [[False, True], [False, False]]


def test_layers_are_named_with_the_share_of_their_channels() -> None:
    """Two large weights side by side along the input channels saturate; halved weights do not."""
    data = residual_convnet().SerializeToString()
    form = onnx.load_model_from_string(static(data, {"x": images(20)}))
    found = {risk.layer: risk for risk in saturating_layers(form.SerializeToString())}
    assert set(found) == {"conv1", "conv2", "classifier"}
    assert all(0 < risk.channels <= 1 and risk.largest > 32767 for risk in found.values())
    for item in form.graph.initializer:
        if item.data_type == onnx.TensorProto.INT8:
            item.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(item) // 2, item.name))
    assert saturating_layers(form.SerializeToString()) == ()


def test_only_the_named_layers_are_changed() -> None:
    """A recipe that names one layer leaves the weights of the others as they were."""
    data, feeds = residual_convnet().SerializeToString(), {"x": images(20)}
    assert {risk.layer for risk in saturating_layers(static(data, feeds, reduced=("conv2",)))} == {
        "conv1",
        "classifier",
    }


def test_codes_that_no_sample_reached_are_no_risk_on_these_samples() -> None:
    """What was seen of each input channel narrows the risk; without it, any input counts."""
    kind = Kind("Conv", 4, 1, (1, 1))
    weight = np.array([100, 60, 127, -100], np.float32).reshape(1, 4, 1, 1)
    x = _extremes(kind, seed=0)
    form = _form(kind, weight, x, reduced=False)
    small = np.array([1, 0.1, 1, 1], np.float32)
    assert saturating_layers(form)[0].largest == 160 * 255
    assert saturating_layers(form, {"x": Seen(0, 1, np.zeros(4, np.float32), small)}) == ()
    assert saturating_layers(form, {"x": Seen(0, 1, np.zeros(4, np.float32), np.ones(4, np.float32))})
    assert saturating_layers(form, {"x": Seen(0, 0.4)}) == ()
    assert saturating_layers(form, {"x": Seen(0, 0.9)})


def test_a_float_model_has_no_such_layers() -> None:
    """Nothing is multiplied in integers."""
    assert saturating_layers(residual_convnet().SerializeToString()) == ()


def test_x86_without_vnni_is_where_sums_saturate() -> None:
    """Arm adds in 32 bits, and so does VNNI; what has no int8 kernels has no sums."""
    assert kernels_saturate(profile.load("x86-64-avx2"))
    assert not any(kernels_saturate(profile.load(name)) for name in ("x86-64-vnni", "raspberry-pi-4"))
    assert not kernels_saturate(Device("old", "an old processor", "x86_64", "", "test"))
    assert kernels_saturate(profile.load("local")) == int8_dot_products_saturate()


def test_what_may_saturate_without_the_guard_needs_wide_sums() -> None:
    """With the guard or without risk it is right everywhere; without, on VNNI and Arm only."""
    data, feeds = residual_convnet().SerializeToString(), {"x": images(20)}
    risky, safe = static(data, feeds), static(data, feeds, reduced=layers_of(data).names)
    assert needs_of_sums(risky, guarded=True) == needs_of_sums(safe, guarded=False) == Needs()
    assert needs_of_sums(risky, guarded=False) == Needs(features=("avx512_vnni", "avx_vnni", "asimd"))
