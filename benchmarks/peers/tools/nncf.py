"""NNCF's post-training quantization of an ONNX model."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.tools import Samples

ABOUT = "`nncf.quantize` with its defaults on the ONNX model"
DISTRIBUTION = "nncf"
REQUIREMENTS: tuple[tuple[str, ...], ...] = (("nncf", "onnx", "onnxruntime"),)


def quantize(model: Path, calibration: Samples, output: Path) -> None:
    """Quantize with NNCF; see the package for the contract."""
    import nncf
    import onnx

    dataset = nncf.Dataset(calibration)
    quantized = nncf.quantize(onnx.load(model), dataset, subset_size=len(calibration))
    onnx.save(quantized, output)
