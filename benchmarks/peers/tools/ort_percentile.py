"""The hand-tuned form with ranges from percentiles."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.tools import Samples

ABOUT = "as ort_best, with ranges by percentile (99.999 %, onnxruntime's default)"
DISTRIBUTION = "onnxruntime"
REQUIREMENTS: tuple[tuple[str, ...], ...] = ()


def quantize(model: Path, calibration: Samples, output: Path) -> None:
    """Quantize to U8S8 per channel with ranges by percentile; see the package for the contract."""
    from onnxruntime.quantization import CalibrationMethod

    from benchmarks.peers.tools._ort import tuned

    tuned(model, calibration, output, calibrate_method=CalibrationMethod.Percentile)
