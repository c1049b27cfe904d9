"""What the runtime executes: fused forms, and forms known to fall back."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from models import images, residual_convnet
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from devices.host import detect
from edge_runtime.inference.ort import SessionSettings
from optimizer.audit import audit
from optimizer.calibrate.observe import observe
from optimizer.calibrate.ranges import ranges_of
from optimizer.data import Dataset
from optimizer.quantize import quantize, tensors_to_observe
from optimizer.recipe import Recipe
from optimizer.schemes import Int8Static, Int8Weights

SETTINGS = SessionSettings()


def _ranges(data: bytes) -> dict[str, tuple[float, float]]:
    samples = Dataset({"x": images(20)}, None, "x")
    return ranges_of(observe(data, tensors_to_observe(data), samples, lambda done, total: None), "minmax")


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
    tensors = {name: (np.float32(low), np.float32(high)) for name, (low, high) in _ranges(data).items()}
    quantizer = QDQQuantizer(
        onnx.load_model_from_string(data),
        per_channel=False,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, tensors),
        nodes_to_quantize=[],
        nodes_to_exclude=[],
        op_types_to_quantize=["Conv", "Add", "Relu", "MatMul", "GlobalAveragePool", "Flatten"],
        extra_options={},
    )
    quantizer.quantize_model()
    found = audit(quantizer.model.model.SerializeToString(), SETTINGS)
    assert {fallen.layer for fallen in found.fell_back} <= {"conv1", "conv2", "classifier"}
    assert found.fell_back
    assert found.integer < 3
    assert found.conversions > 2
