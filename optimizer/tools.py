"""Which versions of which tools a result depends on."""

from __future__ import annotations

from importlib import metadata

import numpy as np
import onnx
import onnxruntime


def versions() -> dict[str, str]:
    """Return tool name -> version, for manifests and as part of every cache key."""
    return {
        "edgeopt": metadata.version("edgeopt"),
        "numpy": np.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
    }
