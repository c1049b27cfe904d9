"""onnxruntime's `quantize_dynamic`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.tools import Samples

ABOUT = "`quantize_dynamic` with its defaults: activations are quantized at every call, no calibration"
DISTRIBUTION = "onnxruntime"
REQUIREMENTS: tuple[tuple[str, ...], ...] = ()


def quantize(model: Path, calibration: Samples, output: Path) -> None:
    """Quantize dynamically; see the package for the contract."""
    from onnxruntime.quantization import quantize_dynamic

    del calibration
    quantize_dynamic(model, output)
