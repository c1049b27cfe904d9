"""Which forms a target is offered, and why not the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from models import mlp, residual_convnet
from zoo import ZOO

from devices.profile import Device, load
from optimizer.load import LoadedModel, count_operators
from optimizer.schemes import offers, schemes_for


def _loaded(model: onnx.ModelProto) -> LoadedModel:
    return LoadedModel(Path("m.onnx"), b"", 0, 17, (), (), count_operators(model.graph), 2, ())


def _names(device: Device, model: onnx.ModelProto, *, calibrated: bool = True) -> set[str]:
    return {scheme.name for scheme in schemes_for(device, _loaded(model), calibrated=calibrated)}


PLAIN = Device("board", "a board", "aarch64", "asimd", "test")
HALF = Device("board", "a board", "aarch64", "asimddp", "test", float16=True)
JETSON = Device("board", "a board", "aarch64", "asimddp", "test", float16=True, tensorrt=True, gpu_int8=True)


def test_float16_needs_float16_arithmetic() -> None:
    """On other processors every operator would convert to float32 and back."""
    assert "cpu-fp16" in _names(HALF, residual_convnet())
    assert "cpu-fp16" not in _names(PLAIN, residual_convnet())
    assert load("raspberry-pi-5").float16
    assert not load("raspberry-pi-4").float16


def test_the_symmetric_form_needs_tensorrt_and_data() -> None:
    """CPU kernels leave much of it in float."""
    assert "trt-s8s8" in _names(JETSON, residual_convnet())
    assert "trt-s8s8" not in _names(HALF, residual_convnet())
    assert "trt-s8s8" not in _names(replace(JETSON, gpu_int8=False), residual_convnet())
    assert "trt-s8s8" not in _names(JETSON, residual_convnet(), calibrated=False)


def test_a_target_with_tensorrt_is_offered_both_of_its_forms() -> None:
    """Those are float16 and symmetric int8, beside the forms for its processor; others get neither."""
    both = {"trt-fp16", "trt-s8s8"}
    assert both | {"cpu-fp16", "cpu-u8s8"} <= _names(JETSON, residual_convnet())
    assert not both & _names(HALF, residual_convnet())


def test_transformers_are_offered_matrix_forms() -> None:
    """Dynamic int8 for models made of matrix products, 4 bits where attention is and data can judge it."""
    assert {"cpu-dynamic-u8s8", "cpu-weights-4bit"} <= _names(PLAIN, ZOO["transformer_encoder"]())
    assert "cpu-weights-4bit" not in _names(PLAIN, ZOO["transformer_encoder"](), calibrated=False)
    assert "cpu-weights-4bit" not in _names(PLAIN, mlp())
    assert "cpu-dynamic-u8s8" not in _names(PLAIN, residual_convnet())


@pytest.mark.parametrize("calibrated", [True, False])
def test_every_form_is_offered_or_refused_with_a_reason(calibrated: bool) -> None:
    """Nothing is left out in silence."""
    found = offers(PLAIN, _loaded(residual_convnet()), calibrated=calibrated)
    assert len({type(offer.scheme) for offer in found}) == 6
    for offer in found:
        assert offer.refused is None or len(offer.refused.split()) > 4
    offered = [offer.scheme for offer in found if offer.refused is None]
    assert offered == list(schemes_for(PLAIN, _loaded(residual_convnet()), calibrated=calibrated))


def test_on_arm_uint8_activations_are_taken_with_the_reason() -> None:
    """The common advice for Arm is int8 activations; counted instructions say otherwise, and the refusal says so."""
    refused = {
        offer.scheme.name: offer.refused for offer in offers(PLAIN, _loaded(residual_convnet()), calibrated=True)
    }
    assert refused["cpu-u8s8"] is None
    assert "1.09 against 1.51 times fewer instructions" in str(refused["trt-s8s8"])
    assert "predicted" in str(refused["trt-s8s8"])
    assert "convolutions" in str(refused["cpu-dynamic-u8s8"])
    assert "float16" in str(refused["cpu-fp16"])
