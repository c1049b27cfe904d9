"""AMD Quark's preset for 8-bit activations and weights."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.tools import Samples

ABOUT = "the A8W8 preset"
DISTRIBUTION = "amd-quark"
REQUIREMENTS: tuple[tuple[str, ...], ...] = (("torch==2.13.0",), ("amd-quark", "onnx", "onnxruntime"))


def quantize(model: Path, calibration: Samples, output: Path) -> None:
    """Quantize with Quark; see the package for the contract."""
    from quark.onnx import A8W8_QCONFIG, ModelQuantizer

    from benchmarks.peers.tools._ort import Reader

    ModelQuantizer(A8W8_QCONFIG).quantize_model(str(model), str(output), Reader(calibration))
