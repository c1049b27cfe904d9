"""A declaration of features: what it computes of a batch, which shape that has, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edge_runtime.errors import BadInput
from edge_runtime.inference.feature_kinds import BandEnergy, Kurtosis, Mean, Peak, Rms
from edge_runtime.inference.features import Features
from edge_runtime.inference.features_file import load_features
from edge_runtime.inference.log_mel import LogMel

EVERY_KIND: list[dict[str, Any]] = [
    *({"kind": kind} for kind in ("mean", "rms", "std", "peak", "peak_to_peak", "kurtosis", "skewness")),
    *({"kind": kind} for kind in ("crest_factor", "zero_crossings", "spectral_centroid")),
    {"kind": "band_energy", "bands": [[0, 1000], [1000, 6000]]},
    {"kind": "log_mel", "frame": 100, "hop": 50, "n_mels": 10},
]


def declared(**fields: Any) -> Features:
    """Return a declaration as it is read from a file."""
    return msgspec.convert({"size": 300, "sample_rate": 12_000, **fields}, Features)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [300, 1024, 1009])
def test_a_window_gives_the_same_bits_alone_and_in_any_batch(channels: int, size: int) -> None:
    """Batch equals one by one, for every kind of feature, whatever memory order the windows come in."""
    features = declared(size=size, channels=channels, compute=EVERY_KIND)
    windows = np.random.default_rng(1).normal(size=(37, size, channels)).astype(np.float32)
    together = features.of(windows)
    for index in range(len(windows)):
        np.testing.assert_array_equal(features.of(windows[index : index + 1])[0], together[index])
    np.testing.assert_array_equal(features.of(np.asfortranarray(windows)), together)
    np.testing.assert_array_equal(features.of(windows[5:20]), together[5:20])


def test_numbers_are_taken_as_a_daemon_has_them() -> None:
    """float64 data give what the same readings give as float32."""
    features = declared(compute=EVERY_KIND)
    windows = 1000 + np.random.default_rng(2).normal(size=(3, 300, 1))
    np.testing.assert_array_equal(features.of(windows), features.of(windows.astype(np.float32)))


def test_the_order_is_feature_channel_band() -> None:
    """All channels of the first feature come first; a channel's bands lie together."""
    windows = np.random.default_rng(3).normal(size=(4, 64, 2))
    bands = BandEnergy(((0.0, 10.0), (10.0, 50.0)))
    both = Features(64, (Rms(), bands), channels=2, sample_rate=100.0).of(windows)
    for channel in range(2):
        alone = Features(64, (Rms(), bands), sample_rate=100.0).of(windows[..., channel : channel + 1])
        np.testing.assert_array_equal(both[:, channel], alone[:, 0])
        np.testing.assert_array_equal(both[:, 2 + 2 * channel : 4 + 2 * channel], alone[:, 1:])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_window_with_a_bad_reading_has_no_feature_at_all(bad: float) -> None:
    """One NaN makes all features of its window NaN, those that could be counted too; its neighbours are untouched."""
    features = declared(channels=2, compute=EVERY_KIND)
    windows = np.random.default_rng(4).normal(size=(3, 300, 2)).astype(np.float32)
    clean = features.of(windows)
    windows[1, 7, 1] = bad
    found = features.of(windows)
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[[0, 2]], clean[[0, 2]])


@pytest.mark.parametrize("shape", [(2, 299, 1), (2, 300, 2), (2, 300), (300, 1)])
def test_other_windows_are_refused(shape: tuple[int, ...]) -> None:
    """Windows of another size would give numbers that mean something else."""
    with pytest.raises(BadInput, match="300 readings x 1 channels") as caught:
        declared(compute=[{"kind": "rms"}]).of(np.zeros(shape))
    assert caught.value.code == "E-FEATURES-WINDOW"


SCALARS = Features(64, (Mean(), Rms(), Peak(), Kurtosis()))
MELS = Features(64, (LogMel(frame=16, hop=8, n_mels=2),), sample_rate=100.0)  # 7 frames x 2


@pytest.mark.parametrize(
    ("features", "sizes", "fitted"),
    [
        (SCALARS, (4,), (4,)),
        (SCALARS, ("F",), (4,)),
        (SCALARS, (1, 4), (1, 4)),
        (SCALARS, (4, 1, 1), (4, 1, 1)),
        (SCALARS, (1, "T"), (1, 4)),
        (MELS, (7, 2), (7, 2)),
        (MELS, (1, 7, 2), (1, 7, 2)),
        (MELS, (7, 1, 2), (7, 1, 2)),
        (MELS, (14,), (14,)),
        (MELS, ("T", 2), (7, 2)),
        (MELS, (1, "T", 2), (1, 7, 2)),
        (MELS, ("n",), (14,)),
    ],
)
def test_the_models_shape_is_met(features: Features, sizes: tuple[int | str, ...], fitted: tuple[int, ...]) -> None:
    """Axes of one are added where the model has them, open dimensions filled, a flat input gets all in a row."""
    windows = np.random.default_rng(5).normal(size=(3, 64, 1))
    found = features.fed(windows, sizes)
    assert found.shape == (3, *fitted)
    np.testing.assert_array_equal(found.ravel(), features.of(windows).ravel())


@pytest.mark.parametrize(
    ("features", "sizes"),
    [
        *((SCALARS, sizes) for sizes in [(5,), (2, 2), ("N", 3), ()]),
        *((MELS, sizes) for sizes in [(2, 7), ("T", 7), (7, 3), (13,), (2, 7, 1)]),
    ],
)
def test_scrambled_shapes_are_refused(features: Features, sizes: tuple[int | str, ...]) -> None:
    """As many numbers in other axes would run, on scrambled values."""
    with pytest.raises(BadInput) as caught:
        features.fitted(sizes)
    assert caught.value.code == "E-FEATURES-SHAPE"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"compute": []}, "length >= 1"),
        ({"compute": [{"kind": "loudness"}]}, "loudness"),
        ({"compute": [{"kind": "rms", "unit": "g"}]}, "unknown field `unit`"),
        ({"compute": [{"kind": "rms"}], "size": 1}, "`int` >= 2"),
        ({"compute": [{"kind": "rms"}], "sample_rate": -1}, "sample_rate"),
        ({"compute": [{"kind": "rms"}], "size": 1 << 20, "channels": 5}, "more than 4194304 numbers"),
        (
            {"compute": [{"kind": "log_mel", "frame": 1 << 15, "hop": 1, "n_mels": 9}], "size": 1 << 20},
            "more than 16777216",
        ),
        ({"compute": [{"kind": "log_mel", "frame": 100, "hop": 50, "n_mels": 257}]}, "`int` <= 256"),
        ({"compute": [{"kind": "spectral_centroid"}], "sample_rate": 0}, "needs sample_rate"),
        ({"compute": [{"kind": "band_energy", "bands": [[0, 100]]}], "sample_rate": 0}, "needs sample_rate"),
        ({"compute": [{"kind": "band_energy", "bands": [[500, 100]]}]}, "500 to 100 Hz"),
        ({"compute": [{"kind": "band_energy", "bands": [[0, 6001]]}]}, "half the sample rate"),
        ({"compute": [{"kind": "band_energy", "bands": [[41, 79]]}]}, "holds no line: they are 40 Hz apart"),
        ({"compute": [{"kind": "band_energy", "bands": []}]}, "length >= 1"),
        ({"compute": [{"kind": "log_mel", "frame": 301, "hop": 1, "n_mels": 1}]}, "does not fit into a window of 300"),
        ({"compute": [{"kind": "log_mel", "frame": 100, "hop": 0, "n_mels": 1}]}, "`int` >= 1"),
        ({"compute": [{"kind": "log_mel", "frame": 100, "hop": 9, "n_mels": 60}]}, "mel filter 0 holds no line"),
        ({"compute": [{"kind": "log_mel", "frame": 100, "hop": 9, "n_mels": 2, "fft": 64}]}, "shorter than the frame"),
        (
            {"compute": [{"kind": "log_mel", "frame": 100, "hop": 9, "n_mels": 2, "fmax": 7e3}]},
            "no range from 0 to 6000",
        ),
        ({"compute": [{"kind": "log_mel", "frame": 100, "hop": 9, "n_mels": 2, "floor": 0}]}, "floor must be"),
    ],
)
def test_what_cannot_be_computed_is_refused_where_it_is_declared(fields: dict[str, Any], words: str) -> None:
    """Nothing is found out at the first window: the declaration itself is wrong, and the words say where."""
    with pytest.raises(msgspec.ValidationError, match=words):
        declared(**fields)


def test_a_declaration_survives_its_file_and_the_manifest(tmp_path: Path) -> None:
    """What a person writes, what the manifest holds and what is read again are the same."""
    path = tmp_path / "features.toml"
    path.write_text(
        'size = 300\nsample_rate = 12000\ncompute = [\n  { kind = "rms" },\n'
        '  { kind = "band_energy", bands = [[0, 1000], [1000, 6000]] },\n]\n',
        encoding="utf-8",
    )
    features = load_features(path)
    assert features == Features(300, (Rms(), BandEnergy(((0.0, 1000.0), (1000.0, 6000.0)))), sample_rate=12_000.0)
    assert msgspec.json.decode(msgspec.json.encode(features), type=Features) == features
    assert str(features) == "300 readings x 1 at 12000 Hz -> [3]: rms, band_energy"


@pytest.mark.parametrize("text", [None, "size = 3 = 4", "size = 300", 'size = 300\ncompute = [{ kind = "x" }]\n'])
def test_a_file_that_declares_nothing_sound_is_refused(tmp_path: Path, text: str | None) -> None:
    """Missing, no TOML, incomplete or wrong: one code, the file's name, and an example."""
    path = tmp_path / "features.toml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=r"features\.toml") as caught:
        load_features(path)
    assert caught.value.code == "E-FEATURES-FILE"
    assert "compute" in caught.value.fix
