"""A pipeline on a package that computes features: windows as declared, and batches only where they change nothing."""

from __future__ import annotations

from pathlib import Path

import featured
import numpy as np
import pytest

from edge_runtime.assemble import Assembled, assemble
from edge_runtime.config_options import PipelineConfig, Source, WindowConfig
from edge_runtime.errors import BadInput
from edge_runtime.inference.feature_kinds import Kurtosis, Skewness
from edge_runtime.inference.features import Features
from edge_runtime.inference.postprocess import Value


def assembled(folder: Path, size: int = 64, fields: tuple[str, ...] = ("a", "b")) -> Assembled:
    """Put a pipeline together on the package in a folder."""
    source = Source(topic="plant/{stream}/vibration", fields=fields)
    return assemble(PipelineConfig("shake", "f.edgepkg", source, WindowConfig(size=size), Value()), folder, {})


def test_many_windows_give_what_each_gives_alone(tmp_path: Path) -> None:
    """The model's outputs are twice the preprocessed features, in one run for all windows."""
    featured.write(tmp_path / "f.edgepkg")
    pipeline = assembled(tmp_path).pipeline
    assert pipeline.predictor.together
    expected = 2 * featured.PREPROCESS.apply(featured.FEATURES.of(featured.WINDOWS))
    np.testing.assert_array_equal(pipeline.predictor.infer(featured.WINDOWS), expected)


def test_a_model_that_mixes_its_batch_is_found_out(tmp_path: Path) -> None:
    """Features of any constant are the same, so zeros and ones would not tell; noise does."""
    features = Features(64, (Kurtosis(), Skewness()), channels=2)
    featured.write(tmp_path / "f.edgepkg", served=features, inputs=features, model=featured.mixed())
    assert not assembled(tmp_path).pipeline.predictor.together


@pytest.mark.parametrize(("size", "fields"), [(32, ("a", "b")), (64, ("a",))])
def test_another_window_is_refused_with_what_to_set(tmp_path: Path, size: int, fields: tuple[str, ...]) -> None:
    """The declared size and the number of channels are in the fix."""
    featured.write(tmp_path / "f.edgepkg")
    with pytest.raises(BadInput, match=f"{size} readings x {len(fields)} numbers") as caught:
        assembled(tmp_path, size, fields)
    assert caught.value.code == "E-PIPELINE-SHAPE"
    assert "window.size = 64" in caught.value.fix
    assert "2 numbers" in caught.value.fix
