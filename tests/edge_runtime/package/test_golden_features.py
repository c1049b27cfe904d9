"""A device proves its feature code on the package's raw windows before it serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import featured
import msgspec
import numpy as np
import pytest
from onnx import TensorProto

from edge_runtime.errors import BadInput, Refused
from edge_runtime.inference import signals
from edge_runtime.inference.engine import Array
from edge_runtime.inference.feature_kinds import Kurtosis, Rms, Std
from edge_runtime.inference.features import Features
from edge_runtime.package import archive, stored_zip
from edge_runtime.package.serving import load_for_serving


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_what_computes_the_same_features_serves(tmp_path: Path, dtype: int) -> None:
    """A whole package is read and served, whatever floats its model takes, behind a negative std too."""
    featured.write(tmp_path / "double.edgepkg", model=featured.doubled(dtype))
    served = load_for_serving(tmp_path / "double.edgepkg")
    assert served.manifest.computed == featured.FEATURES
    assert served.manifest.format == 2


@pytest.mark.parametrize("share", [1e-6, -1e-6])
def test_another_rounding_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """Features that differ by a few of float32's steps are those of another processor."""
    featured.write(tmp_path / "double.edgepkg")
    _plant(monkeypatch, lambda rms: rms * (1 + share))
    assert load_for_serving(tmp_path / "double.edgepkg").golden.samples == 5


@pytest.mark.parametrize("share", [3e-3, -3e-3, np.nan])
def test_another_feature_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """A root mean square that is off by 3 per mille, or no number, is not what the model was measured with."""
    featured.write(tmp_path / "double.edgepkg")
    _plant(monkeypatch, lambda rms: rms * (1 + share))
    with pytest.raises(Refused, match="features of its golden windows") as caught:
        load_for_serving(tmp_path / "double.edgepkg")
    assert caught.value.code == "E-GOLDEN-MISMATCH"


def test_other_features_of_the_same_number_are_refused(tmp_path: Path) -> None:
    """A manifest that names other features than the golden inputs came from does not serve."""
    other = Features(64, (Kurtosis(), Rms()), channels=2, sample_rate=1000.0)
    featured.write(tmp_path / "double.edgepkg", served=other)
    with pytest.raises(Refused) as caught:
        load_for_serving(tmp_path / "double.edgepkg")
    assert caught.value.code == "E-GOLDEN-MISMATCH"


@pytest.mark.parametrize(
    "windows",
    [
        {},
        {"z": featured.WINDOWS},
        {"x": featured.WINDOWS[:, :, :1]},
        {"x": featured.WINDOWS[..., 0]},
        {"x": featured.WINDOWS.astype(str)},
    ],
)
def test_windows_that_prove_nothing_are_refused(tmp_path: Path, windows: dict[str, Array]) -> None:
    """Missing, of another shape, or no numbers."""
    featured.write(tmp_path / "double.edgepkg", windows=windows)
    with pytest.raises(Refused) as caught:
        load_for_serving(tmp_path / "double.edgepkg")
    assert caught.value.code == "E-GOLDEN-UNREADABLE"


def test_a_model_that_cannot_take_the_features_is_refused(tmp_path: Path) -> None:
    """Six features for a model of four numbers: the package contradicts itself."""
    other = Features(64, (Rms(), Kurtosis(), Std()), channels=2, sample_rate=1000.0)
    featured.write(tmp_path / "double.edgepkg", served=other)
    with pytest.raises(BadInput) as caught:
        load_for_serving(tmp_path / "double.edgepkg")
    assert caught.value.code == "E-FEATURES-SHAPE"


@pytest.mark.parametrize("change", [{"format": 1}, {"features": None}])
def test_the_format_says_whether_there_are_features(tmp_path: Path, change: dict[str, Any]) -> None:
    """Format 1 with features and format 2 without are refused; null is no way to write none."""
    path = tmp_path / "double.edgepkg"
    featured.write(path)
    members = stored_zip.unpack(path.read_bytes())
    manifest = {**json.loads(members["manifest.json"]), **change}
    path.write_bytes(stored_zip.pack({**members, "manifest.json": json.dumps(manifest).encode()}))
    with pytest.raises(Refused) as caught:
        archive.read(path)
    assert caught.value.code == "E-PACKAGE-DAMAGED"


def test_a_package_without_features_is_what_it_was(parts: Any) -> None:
    """The manifest of a model that takes the window itself has format 1 and no word about features."""
    manifest = json.loads(stored_zip.unpack(parts.packed())["manifest.json"])
    assert manifest["format"] == 1
    assert list(manifest) == [
        field.name for field in msgspec.structs.fields(parts.manifest) if field.name != "features"
    ]


def _plant(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Change what this machine computes as mean square."""
    real = signals.Signals.mean_square.func
    monkeypatch.setattr(signals.Signals, "mean_square", property(lambda self: change(np.sqrt(real(self))) ** 2))
