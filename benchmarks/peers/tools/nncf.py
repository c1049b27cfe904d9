"""NNCF's post-training quantization of an ONNX model."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.peers.tools import Samples

ABOUT = "`nncf.quantize` with its defaults on the ONNX model"
DISTRIBUTION = "nncf"
REQUIREMENTS: tuple[tuple[str, ...], ...] = (("nncf", "onnx", "onnxruntime"),)


def quantize(model: Path, calibration: Samples, output: Path) -> None:
    """Quantize with NNCF, its telemetry off; see the package for the contract."""
    os.environ["NNCF_CI"] = "1"
    import nncf
    import onnx

    dataset = nncf.Dataset(calibration)
    quantized = nncf.quantize(onnx.load(model), dataset, subset_size=len(calibration))
    onnx.save(quantized, output)
