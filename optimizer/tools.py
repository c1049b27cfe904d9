"""Which versions of which tools a result depends on."""

from __future__ import annotations

from importlib import metadata

import numpy as np
import onnx
import onnxruntime

from devices.host import detect
from edge_runtime.inference import engines


def conditions() -> dict[str, str]:
    """Return what any computed number depends on besides its inputs: versions, and the processor.

    Kernels round as the processor lets them, so a folder of results that two machines share must tell them apart.
    """
    return {**versions(), "machine": str(detect())}


def versions(engine: str = engines.DEFAULT) -> dict[str, str]:
    """Return tool name -> version, for manifests; with that of another engine where one executes the model."""
    more = {} if engine == engines.DEFAULT else {engine: engines.version_of(engine)}
    return {
        "edgeopt": metadata.version("edgeopt"),
        "numpy": np.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        **more,
    }
