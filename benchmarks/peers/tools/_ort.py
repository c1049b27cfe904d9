"""What the onnxruntime tools have in common: the reader, and the form that experts tune by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
from onnx import version_converter
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.peers.tools import Samples

FIRST_OPSET_WITH_PER_CHANNEL = 13


class Reader(CalibrationDataReader):  # type: ignore[misc] # onnxruntime ships no type information
    """Hands out one sample per call, then None."""

    def __init__(self, samples: Samples) -> None:
        self._left = iter(samples)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next sample."""
        return next(self._left, None)


def tuned(model: Path, calibration: Samples, output: Path, **options: Any) -> None:
    """Quantize to uint8 activations and int8 weights per channel, QDQ, after onnxruntime's own pre-processing.

    Args:
        model: Float32 model; raised to opset 13 where it is older, since older ones cannot carry scales per channel.
        calibration: Samples.
        output: File to write.
        **options: Further arguments of `quantize_static`.
    """
    loaded = onnx.load(model)
    opset = next((entry.version for entry in loaded.opset_import if entry.domain in {"", "ai.onnx"}), 0)
    if opset < FIRST_OPSET_WITH_PER_CHANNEL:
        onnx.save(version_converter.convert_version(loaded, FIRST_OPSET_WITH_PER_CHANNEL), model)
    prepared = output.with_suffix(".prepared.onnx")
    quant_pre_process(model, prepared, skip_symbolic_shape=True)  # the symbolic one needs a package more
    arguments = {
        "quant_format": QuantFormat.QDQ,
        "activation_type": QuantType.QUInt8,
        "weight_type": QuantType.QInt8,
        "per_channel": True,
        "calibrate_method": CalibrationMethod.MinMax,
        **options,
    }
    quantize_static(prepared, output, Reader(calibration), **arguments)
