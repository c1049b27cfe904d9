"""onnxruntime's `quantize_static` in the hands of somebody who knows x86."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.tools import Samples

ABOUT = "`quantize_static` tuned by hand: pre-processed, uint8 activations, int8 weights per channel, MinMax, QDQ"
DISTRIBUTION = "onnxruntime"
REQUIREMENTS: tuple[tuple[str, ...], ...] = ()


def quantize(model: Path, calibration: Samples, output: Path) -> None:
    """Quantize to U8S8 per channel; see the package for the contract."""
    from benchmarks.peers.tools._ort import tuned

    tuned(model, calibration, output)
