"""The hand-tuned form of the layers with weights alone: the usual rescue where elementwise steps break int8."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.tools import Samples

ABOUT = "as ort_best, but only Conv, Gemm and MatMul are quantized"
DISTRIBUTION = "onnxruntime"
REQUIREMENTS: tuple[tuple[str, ...], ...] = ()


def quantize(model: Path, calibration: Samples, output: Path) -> None:
    """Quantize layers with weights to U8S8 per channel; see the package for the contract."""
    from benchmarks.peers.tools._ort import tuned

    tuned(model, calibration, output, op_types_to_quantize=["Conv", "Gemm", "MatMul"])
