"""The demo's files: everything the quickstart needs, and nothing overwritten."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from edge_runtime.config import load_config
from edge_runtime.errors import BadInput
from edge_runtime.inference.preprocess import Preprocess
from edge_runtime.sources.synthetic import BURST_SAMPLES
from optimizer.data import load_dataset
from optimizer.demo.export import export
from optimizer.load import load_model


def test_the_exported_files_fit_together(tmp_path: Path) -> None:
    """Data fit the model, the configuration loads and reads the table's column, the table holds whole windows."""
    files = export(tmp_path / "new")
    assert sorted(file.name for file in files) == sorted(file.name for file in (tmp_path / "new").iterdir())
    model = load_model(tmp_path / "new" / "bearing.onnx")
    evaluation = load_dataset(str(tmp_path / "new" / "evaluation.npz"), model.inputs, Preprocess())
    assert evaluation.labels is not None
    assert load_dataset(str(tmp_path / "new" / "calibration.npz"), model.inputs, Preprocess()).labels is None
    config = load_config(tmp_path / "new" / "edge-runtime.toml")
    with (tmp_path / "new" / "vibration.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert set(config.pipeline[0].source.fields) | {"pump"} == set(rows[0])
    assert len(rows) % BURST_SAMPLES == 0


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    """A folder with files in it is refused, and stays as it was."""
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(BadInput) as caught:
        export(tmp_path)
    assert caught.value.code == "E-DEMO-EXPORT"
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
