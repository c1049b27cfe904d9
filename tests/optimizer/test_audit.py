"""What the runtime executes: fused forms, and forms known to fall back."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from forms import Feeds, between_convolutions, node, noise, ranges_of, simplified, static
from models import images, model_of, residual_convnet
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from zoo import ZOO, feeds_for

from devices.host import detect
from edge_runtime.inference.ort import SessionSettings
from optimizer.audit import audit
from optimizer.quantize import quantize
from optimizer.recipe import Recipe
from optimizer.schemes import Int8Static, Int8StaticSymmetric, Int8Weights
from optimizer.simplify import name_nodes

SETTINGS = SessionSettings()


def _ranges(data: bytes) -> dict[str, tuple[float, float]]:
    return ranges_of(data, {"x": images(20)})


def test_a_float_model_runs_in_float() -> None:
    """Nothing integer, nothing converted, nothing fallen back."""
    found = audit(residual_convnet().SerializeToString(), SETTINGS)
    assert (found.integer, found.float32, found.conversions, found.fell_back) == (0, 3, 0, ())


def test_the_static_form_is_fused_whole() -> None:
    """With uint8 activations every layer of a residual network finds an integer kernel."""
    data = residual_convnet().SerializeToString()
    found = audit(quantize(data, Recipe(Int8Static()), _ranges(data)), SETTINGS)
    assert (found.integer, found.float32, found.fell_back) == (3, 0, ())
    assert found.conversions <= 2


def test_kept_layers_are_not_called_fallen_back() -> None:
    """A layer that was left in float on purpose is counted as float, not as a failure."""
    data = residual_convnet().SerializeToString()
    found = audit(quantize(data, Recipe(Int8Static(), keep_float=("conv1", "relu1")), _ranges(data)), SETTINGS)
    assert (found.integer, found.float32, found.fell_back) == (2, 1, ())


def test_weights_only_runs_in_float() -> None:
    """The small form multiplies in float, as it says."""
    data = residual_convnet().SerializeToString()
    scheme = Int8Weights()
    found = audit(quantize(data, Recipe(scheme), {}), SessionSettings(config=scheme.session))
    assert (found.integer, found.float32) == (0, 3)


@pytest.mark.skipif(detect().machine != "x86_64", reason="on Arm onnxruntime fuses int8 activations as well")
def test_int8_activations_at_a_branch_fall_back_on_x86() -> None:
    """The default types of onnxruntime's own quantizer leave residual networks unfused: the audit names the layers."""
    data = residual_convnet().SerializeToString()
    found = audit(_form_of_onnxruntime(data, {"x": images(20)}), SETTINGS)
    assert {fallen.layer for fallen in found.fell_back} <= {"conv1", "conv2", "classifier"}
    assert found.fell_back
    assert found.integer < 3
    assert found.conversions > 2


def _form_of_onnxruntime(data: bytes, feeds: Feeds, **options: bool) -> bytes:
    """Return what onnxruntime's own quantizer makes with its default types, int8 for activations."""
    tensors = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges_of(data, feeds).items()}
    operators = ["Conv", "Add", "Relu", "Clip", "MatMul", "GlobalAveragePool", "Flatten", "Sigmoid", "Mul"]
    quantizer = QDQQuantizer(
        onnx.load_model_from_string(data),
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, tensors),
        nodes_to_quantize=[],
        nodes_to_exclude=[],
        op_types_to_quantize=operators,
        extra_options=options,
    )
    quantizer.quantize_model()
    return bytes(quantizer.model.model.SerializeToString())


@pytest.mark.skipif(detect().machine != "x86_64", reason="on Arm onnxruntime fuses int8 activations as well")
def test_the_rule_that_broke_a_residual_is_named() -> None:
    """int8 activations at a branch, with the float multiplications that they leave inside the region."""
    middle = [node("Relu", ["c"], ["q"], "relu1"), node("Add", ["q", "r0"], ["m"], "add")]
    data = simplified(between_convolutions(middle), noise(8))
    found = audit(_form_of_onnxruntime(data, noise(8)), SETTINGS)
    assert found.multiplications_inside
    assert any("branch" in stray.rule for stray in found.strays)
    assert any("branch" in fallen.reason for fallen in found.fell_back)


def test_a_kept_activation_is_named() -> None:
    """A zero point of 0 does not cut off negative values: the Relu stays, in float, between two conversions."""
    data = simplified(between_convolutions([node("Relu", ["c"], ["m"], "relu1")]), noise(8))
    form = quantize(data, Recipe(Int8StaticSymmetric()), ranges_of(data, noise(8)))
    found = audit(form, SETTINGS)
    assert found.fell_back
    assert any("Relu" in fallen.reason and "kept" in fallen.reason for fallen in found.fell_back)


def test_16_bit_activations_are_named() -> None:
    """They have no integer kernel."""
    data = simplified(between_convolutions([node("Relu", ["c"], ["m"], "relu1")]), noise(8))
    form = quantize(data, Recipe(Int8Static(), wide=("conv1",)), ranges_of(data, noise(8)))
    assert {"conv1"} <= {fallen.layer for fallen in audit(form, SETTINGS).fell_back if "16" in fallen.reason}


def test_a_silu_between_conversions_is_named() -> None:
    """It is in float on purpose, and its two conversions are counted."""
    middle = [node("Sigmoid", ["c"], ["s"], "gate"), node("Mul", ["c", "s"], ["m"], "product")]
    data = simplified(between_convolutions(middle), noise(8))
    found = audit(quantize(data, Recipe(Int8Static()), ranges_of(data, noise(8))), SETTINGS)
    assert [stray.operator for stray in found.strays] == ["QuickGelu"]
    assert "cheaper in float" in found.strays[0].rule
    assert found.conversions == 4


def test_old_pooling_is_named() -> None:
    """MaxPool takes 8-bit numbers from opset 12 on."""
    middle = [
        node("Relu", ["c"], ["q"], "relu1"),
        node("MaxPool", ["q"], ["m"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
    ]
    data = between_convolutions(middle, opset=11).SerializeToString()
    found = audit(quantize(data, Recipe(Int8Static()), ranges_of(data, noise(8))), SETTINGS)
    assert [(stray.node, "opset 12" in stray.rule) for stray in found.strays] == [("pool", True)]


def test_slow_kernels_are_named() -> None:
    """Depthwise channels beside 16, input channels beside 4, groups, and optimizations switched off."""
    random = np.random.default_rng(0)
    weights = {
        "wd": random.normal(0, 0.3, (10, 1, 3, 3)).astype(np.float32),
        "wg": random.normal(0, 0.3, (10, 5, 3, 3)).astype(np.float32),
    }
    middle = [
        node("Conv", ["c", "wd"], ["d"], "depthwise", group=10, pads=[1, 1, 1, 1]),
        node("Conv", ["d", "wg"], ["m"], "grouped", group=2, pads=[1, 1, 1, 1]),
    ]
    data = simplified(between_convolutions(middle, weights, channels=(10, 10)), noise(4, channels=10))
    form = quantize(data, Recipe(Int8Static()), ranges_of(data, noise(4, channels=10)))
    text = "\n".join(audit(form, SessionSettings(optimize=False)).slow)
    for word in ("depthwise: int8 depthwise over 10", "grouped: ", "conv0: int8 over 10", "ENABLE_ALL"):
        assert word in text
    assert "ENABLE_ALL" not in "\n".join(audit(form, SETTINGS).slow)


def test_a_fused_skip_normalization_is_named() -> None:
    """Its float32 kernel is slower than the two operators it replaces."""
    model = ZOO["transformer_encoder"]()
    data = simplified(model, feeds_for(model, 1))
    assert any("SkipLayerNormalization" in line for line in audit(data, SETTINGS).slow)


@pytest.mark.skipif(detect().machine != "x86_64", reason="cost lines were fitted on x86 only")
@pytest.mark.parametrize(
    ("channels", "side", "group", "expected"),
    [(128, 28, 1, "faster"), (8, 64, 8, "slower")],
    ids=["dense layers of 128 channels", "depthwise layers of 8 channels"],
)
def test_large_differences_are_predicted(channels: int, side: int, group: int, expected: str) -> None:
    """Measured 1.4 x and 0.5 x float32 without VNNI, more and less with it."""
    random = np.random.default_rng(0)
    shape = (channels, channels // group, 3, 3)
    weights = {name: random.normal(0, 0.1, shape).astype(np.float32) for name in ("u", "v", "w")}
    nodes = []
    for before, weight, after in (("x", "u", "a"), ("a", "v", "b"), ("b", "w", "y")):
        nodes.append(node("Conv", [before, weight], [f"{after}0"], f"conv_{weight}", group=group, pads=[1, 1, 1, 1]))
        nodes.append(node("Relu", [f"{after}0"], [after], f"relu_{weight}"))
    data = model_of(nodes, weights, {"x": ["N", channels, side, side]}, {"y": ["N", channels, side, side]})
    feeds = noise(2, channels, side)
    form = static(data.SerializeToString(), feeds)
    found = audit(form, SETTINGS)
    assert found.predicts == expected, found.prediction.reason
    assert "predicted" in found.prediction.reason


@pytest.mark.skipif(detect().machine != "x86_64", reason="on Arm onnxruntime fuses int8 activations as well")
def test_a_symmetric_form_on_a_cpu_is_predicted_to_be_slower() -> None:
    """Measured 0.24 to 0.6 x float32: kept activations, weights restored at every inference."""
    model = ZOO["depthwise_cnn"]()
    feeds = feeds_for(model, 2)
    data = simplified(model, feeds)
    assert audit(quantize(data, Recipe(Int8StaticSymmetric()), ranges_of(data, feeds)), SETTINGS).predicts == "slower"


def test_nothing_is_predicted_where_shapes_are_not_known() -> None:
    """Unsure, with the reason; a float model is not compared with itself either."""
    model = ZOO["mobile_cnn"]()
    feeds = feeds_for(model, 2)
    data = name_nodes.apply(model.SerializeToString())  # simplified, its sizes would be known
    found = audit(quantize(data, Recipe(Int8Static()), ranges_of(data, feeds)), SETTINGS)
    assert (found.predicts, "shapes" in found.prediction.reason) == ("unsure", True)
    assert audit(data, SETTINGS).predicts == "unsure"
