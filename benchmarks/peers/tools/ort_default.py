"""onnxruntime's `quantize_static` as its documentation shows it first."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.tools import Samples

ABOUT = "`quantize_static` with its defaults: int8 activations and weights, per tensor, MinMax, QDQ"
DISTRIBUTION = "onnxruntime"
REQUIREMENTS: tuple[tuple[str, ...], ...] = ()


def quantize(model: Path, calibration: Samples, output: Path) -> None:
    """Quantize with every default; see the package for the contract."""
    from onnxruntime.quantization import quantize_static

    from benchmarks.peers.tools._ort import Reader

    quantize_static(model, output, Reader(calibration))
