"""Runs one tool, in whatever Python it is started with: TOOL MODEL CALIBRATION.npz OUTPUT.

Needs numpy and the standard library, so that every tool's own environment can run it. It writes the version of the
tool's distribution beside the output.
"""

from __future__ import annotations

import importlib
import sys
from importlib import metadata
from pathlib import Path

import numpy as np


def main(tool: str, model: str, calibration: str, output: str) -> None:
    """Quantize one model with one tool."""
    # Started by its path and isolated (-I), so that nothing but this repository and the environment is found.
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    module = importlib.import_module(f"benchmarks.peers.tools.{tool}")
    Path(f"{output}.version").write_text(f"{module.DISTRIBUTION} {metadata.version(module.DISTRIBUTION)}", "utf-8")
    with np.load(calibration, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    count = len(next(iter(arrays.values())))
    samples = [{name: array[index : index + 1] for name, array in arrays.items()} for index in range(count)]
    module.quantize(Path(model), samples, Path(output))


if __name__ == "__main__":
    main(*sys.argv[1:])
