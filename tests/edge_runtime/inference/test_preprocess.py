"""Preprocessing: (x * scale - mean) / std, along the right axis."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.errors import BadInput
from edge_runtime.inference.preprocess import Preprocess


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int16"])
def test_the_identity_returns_the_very_array(dtype: str) -> None:
    """Without settings nothing is copied or converted: integer models get their integers."""
    batch = np.arange(12).reshape(3, 4).astype(dtype)
    assert Preprocess().apply(batch) is batch
    assert Preprocess(mean=(0.0, 0.0), std=(1.0, 1.0, 1.0)).is_identity()


@pytest.mark.parametrize("axis", [1, 3, -1])
@pytest.mark.parametrize("seed", range(3))
def test_channels_are_normalised_along_their_axis(axis: int, seed: int) -> None:
    """Channel first and channel last give what the formula gives for each channel alone."""
    generator = np.random.default_rng(seed)
    mean, std = tuple(generator.normal(size=3)), tuple(generator.uniform(0.1, 2.0, size=3))
    batch = generator.integers(0, 256, size=(2, 3, 5, 3)).astype(np.uint8)
    result = Preprocess(scale=1 / 255, mean=mean, std=std, channel_axis=axis).apply(batch)
    assert result.dtype == np.float32
    for channel in range(3):
        expected = (np.take(batch, channel, axis).astype(np.float64) / 255 - mean[channel]) / std[channel]
        assert np.take(result, channel, axis) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_one_value_goes_for_all_channels() -> None:
    """A single mean and std need no axis, whatever the rank."""
    result = Preprocess(mean=(1.0,), std=(2.0,), channel_axis=9).apply(np.array([1.0, 3.0, 5.0]))
    assert result.tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(("shape", "axis"), [((2, 4, 5), 1), ((2, 3), 2), ((2, 1, 5), 1), ((3,), 1)])
def test_other_channels_than_named_are_bad_input(shape: tuple[int, ...], axis: int) -> None:
    """Three means for four channels, for one, or along an axis that is not there: an error, never a broadcast."""
    with pytest.raises(BadInput) as caught:
        Preprocess(mean=(0.1, 0.2, 0.3), channel_axis=axis).apply(np.zeros(shape))
    assert caught.value.code == "E-PREPROCESS-CHANNELS"


@pytest.mark.parametrize(
    "wrong",
    [{"std": (1.0, 0.0)}, {"mean": (float("nan"),)}, {"scale": float("inf")}, {"mean": ()}, {"std": ()}],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    """A zero divisor, a number that is none, and lists without values are refused when the steps are made."""
    with pytest.raises(ValueError, match=r"mean|std|scale"):
        Preprocess(**wrong)  # type: ignore[arg-type]
