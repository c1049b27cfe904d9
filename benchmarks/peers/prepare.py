"""Child: MODEL CALIBRATION FOLDER [EVALUATION]. Writes the model in one file and the samples every tool is given."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from benchmarks.peers.work import CALIBRATION_SAMPLES
from edge_runtime.errors import EdgeoptError
from edge_runtime.inference.preprocess import Preprocess
from optimizer.data import load_dataset
from optimizer.load import load_model


def main(model: str, calibration: str, folder: str, evaluation: str | None = None) -> None:
    """Write `model.onnx` and `samples.npz`: arrays by input name, in the input's dtype, samples along axis 0.

    An `evaluation` .npz is written again without compression: some scripts read it anew for every sample.
    """
    loaded = load_model(Path(model))
    data = load_dataset(calibration, loaded.inputs, Preprocess())
    samples = {name: np.asarray(array[:CALIBRATION_SAMPLES]) for name, array in data.feeds.items()}
    Path(folder, "model.onnx").write_bytes(loaded.data)
    if evaluation:
        with np.load(evaluation, allow_pickle=False) as archive:
            np.savez(Path(folder, "evaluation.npz"), **{name: archive[name] for name in archive.files})
    np.savez(Path(folder, "samples.npz"), **samples)  # type: ignore[arg-type] # numpy's stubs know no names


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except EdgeoptError as error:
        sys.exit(f"error {error.code}: {error.message}")
