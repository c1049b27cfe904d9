"""The forms a model can be quantized to, as small frozen choices, and which of them a target allows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from devices.profile import Device
from optimizer.load import LoadedModel


@dataclass(frozen=True)
class Int8Static:
    """Activations uint8 with ranges from calibration, weights int8 per output channel, written as QDQ.

    uint8 rather than int8 activations: on x86 onnxruntime fuses every residual branch only in that form (measured
    0.56 x float32 for int8, 1.46 x for uint8 on a residual network), and on Arm it was the better one as well.
    """

    name: str = "cpu-u8s8"
    precision: str = "int8 static: uint8 activations, int8 weights per channel"
    session: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Int8Dynamic:
    """Weights int8 per channel, activations quantized while running; for models of matrix products only.

    Convolutions are left out: measured 0.05 to 0.5 x float32 in that form.
    """

    name: str = "cpu-dynamic-u8s8"
    precision: str = "int8 dynamic: activations quantized while running, int8 weights per channel"
    session: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Int8Weights:
    """Weights stored as int8 per channel and restored to float32 when the model is loaded: smaller, not faster."""

    name: str = "cpu-weights-s8"
    precision: str = "int8 weights per channel, float32 arithmetic"
    # Without this onnxruntime restores the weights at every inference: measured 0.07 to 0.5 x float32.
    session: dict[str, str] = field(default_factory=lambda: {"session.disable_quant_qdq": "1"})


Scheme: TypeAlias = Int8Static | Int8Dynamic | Int8Weights


def schemes_for(device: Device, model: LoadedModel, *, calibrated: bool) -> tuple[Scheme, ...]:
    """Return the schemes worth trying, best first.

    Args:
        device: The target; without int8 kernels only the size can gain.
        model: The float model.
        calibrated: Whether there are calibration data; without them nothing that needs ranges is offered.
    """
    multiplies = device.int8_kernels != ""
    convolutional = any(name in model.operators for name in ("Conv", "ConvTranspose"))
    schemes: list[Scheme] = []
    if multiplies and calibrated:
        schemes.append(Int8Static())
    if multiplies and not convolutional:
        schemes.append(Int8Dynamic())
    if not calibrated:
        schemes.append(Int8Weights())
    return tuple(schemes)
