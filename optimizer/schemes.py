"""The forms a model can be quantized to, as small frozen choices, and which of them a target allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

from devices.profile import Device
from edge_runtime.inference.ort import GUARD
from optimizer.load import LoadedModel
from optimizer.saturation import kernels_saturate


@dataclass(frozen=True)
class Int8Static:
    """Activations uint8 with ranges from calibration, weights int8 per output channel, written as QDQ.

    uint8 rather than int8 activations: on x86 onnxruntime fuses every residual branch only in that form (measured
    0.56 x float32 for int8, 1.46 x for uint8 on a residual network), and on Arm it was the better one as well.

    Attributes:
        also: Operator types that are quantized besides the usual ones, for experiments.
    """

    smaller_only: ClassVar[bool] = False
    name: str = "cpu-u8s8"
    precision: str = "int8 static: uint8 activations, int8 weights per channel"
    session: dict[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()


# For x86 without VNNI: weights are chosen so that no sum exceeds 16 bits, and onnxruntime's guard is off. The guard
# takes the time that int8 gains: with it 0.80 x float32, in this form 1.25 x (measured on a residual network).
SAFE = Int8Static(
    name="cpu-avx2-safe",
    precision="int8 static: uint8 activations, int8 weights per channel, no sum above 16 bits",
    session={GUARD: "0"},
)


@dataclass(frozen=True)
class Int8StaticSymmetric:
    """Activations and weights int8, all zero points 0, biases float: what TensorRT reads.

    onnxruntime's CPU kernels leave much of it in float (an activation function is not absorbed by a zero point of 0).
    """

    smaller_only: ClassVar[bool] = False
    name: str = "trt-s8s8"
    precision: str = "int8 static: symmetric int8 activations and weights, weights per channel"
    session: dict[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Int8Dynamic:
    """Weights int8 per channel, activations quantized while running; for models made mostly of matrix products.

    Convolutions are left out: measured 0.05 to 0.5 x float32 in that form.
    """

    smaller_only: ClassVar[bool] = False
    name: str = "cpu-dynamic-u8s8"
    precision: str = "int8 dynamic: activations quantized while running, int8 weights per channel"
    session: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Int8Weights:
    """Weights stored as int8 per channel and restored to float32 when the model is loaded: smaller, not faster."""

    smaller_only: ClassVar[bool] = True
    name: str = "cpu-weights-s8"
    precision: str = "int8 weights per channel, float32 arithmetic"
    # Without this onnxruntime restores the weights at every inference: measured 0.07 to 0.5 x float32.
    session: dict[str, str] = field(default_factory=lambda: {"session.disable_quant_qdq": "1"})


@dataclass(frozen=True)
class Int4Weights:
    """Matrices in blocks of 32 4-bit weights, for transformers: smaller, not faster (measured 0.90 x float32)."""

    smaller_only: ClassVar[bool] = True
    name: str = "cpu-weights-4bit"
    precision: str = "4-bit weights of matrix products in blocks of 32"
    session: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Float16:
    """float16 weights and activations, float32 where they would not fit.

    Attributes:
        provider: What it is executed on; the model is the same.
    """

    smaller_only: ClassVar[bool] = False
    name: str = "cpu-fp16"
    precision: str = "float16, inputs and outputs float32"
    session: dict[str, str] = field(default_factory=dict)
    provider: Literal["cpu", "tensorrt"] = "cpu"


TENSORRT_FLOAT16 = Float16(name="trt-fp16", provider="tensorrt")


Scheme: TypeAlias = Int8Static | Int8StaticSymmetric | Int8Dynamic | Int8Weights | Int4Weights | Float16


@dataclass(frozen=True)
class Offer:
    """A scheme, and why it is not worth trying; None where it is."""

    scheme: Scheme
    refused: str | None


def schemes_for(device: Device, model: LoadedModel, *, calibrated: bool) -> tuple[Scheme, ...]:
    """Return the schemes worth trying, best first.

    Args:
        device: The target; without int8 kernels only the size can gain.
        model: The float model.
        calibrated: Whether there are calibration data; without them nothing that needs ranges is offered.
    """
    return tuple(offer.scheme for offer in offers(device, model, calibrated=calibrated) if offer.refused is None)


def offers(device: Device, model: LoadedModel, *, calibrated: bool) -> tuple[Offer, ...]:
    """Return every scheme with the reason why it is not offered; see `schemes_for`."""
    reasons: list[tuple[Scheme, Iterator[str]]] = [
        (SAFE if kernels_saturate(device) else Int8Static(), _against_static(device, calibrated)),
        (Int8StaticSymmetric(), _against_symmetric(device, calibrated)),
        (Int8Dynamic(), _against_dynamic(device, model)),
        (TENSORRT_FLOAT16, _against_tensorrt(device)),
        (Float16(), _against_float16(device)),
        (Int4Weights(), _against_int4(model, calibrated)),
        (Int8Weights(), iter(["there are data to try the faster forms with"] if calibrated else [])),
    ]
    return tuple(Offer(scheme, next(reason, None)) for scheme, reason in reasons)


def _against_static(device: Device, calibrated: bool) -> Iterator[str]:
    if not device.int8_kernels:
        yield f"{device.title} has no int8 kernels"
    if not calibrated:
        yield "it needs calibration data for the ranges of activations"


def _against_symmetric(device: Device, calibrated: bool) -> Iterator[str]:
    if not device.tensorrt:
        yield f"{device.title} has no TensorRT, and CPU kernels leave much of this form in float{_counted(device)}"
    elif not device.gpu_int8:
        yield f"the GPU of {device.title} multiplies no 8-bit numbers"
    if not calibrated:
        yield "it needs calibration data for the ranges of activations"


def _counted(device: Device) -> str:
    """Return what counting instructions of a mobile network showed on processors like a device's."""
    ratios = {"asimd": "1.09 against 1.51", "asimddp": "1.87 against 2.82"}.get(device.int8_kernels)
    return f" ({ratios} times fewer instructions than float32 for one mobile network, predicted)" if ratios else ""


def _against_dynamic(device: Device, model: LoadedModel) -> Iterator[str]:
    if not device.int8_kernels:
        yield f"{device.title} has no int8 kernels"
    convolutions, products = _count(model, "Conv", "ConvTranspose"), _count(model, "MatMul", "Gemm", "Attention")
    if convolutions >= max(products, 1):
        yield f"convolutions ({convolutions}) get slower in it, and there are only {products} matrix products"


def _against_tensorrt(device: Device) -> Iterator[str]:
    if not device.tensorrt:
        yield f"{device.title} has no TensorRT"


def _against_float16(device: Device) -> Iterator[str]:
    if not device.float16:
        yield f"{device.title} has no float16 arithmetic; every operator would convert to float32 and back"


def _against_int4(model: LoadedModel, calibrated: bool) -> Iterator[str]:
    if not _count(model, "Attention", "Softmax") or not _count(model, "LayerNormalization", "SkipLayerNormalization"):
        yield "it is for transformers, and this model has no attention"
    if not calibrated:
        yield "4 bits lose enough to need data to judge it with"


def _count(model: LoadedModel, *operators: str) -> int:
    return sum(model.operators.get(name, 0) for name in operators)
