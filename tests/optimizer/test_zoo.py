"""The stand-ins are what they claim: they run on any batch they allow, and their outputs depend on their inputs."""

from __future__ import annotations

import numpy as np
import pytest
from zoo import ZOO, feeds_for, nano_detector, transformer_encoder

from edge_runtime.inference.ort import OrtEngine


@pytest.mark.parametrize("name", ZOO)
def test_a_stand_in_runs_and_tells_inputs_apart(name: str) -> None:
    """Every stand-in loads, answers finite numbers, and answers other inputs otherwise."""
    model = ZOO[name]()
    engine = OrtEngine(model.SerializeToString())
    first, second = (engine.run(feeds_for(model, 2, seed)) for seed in (0, 1))
    for output, values in first.items():
        assert np.isfinite(values).all()
        assert np.abs(values - second[output]).max() > 1e-6


@pytest.mark.parametrize("name", ZOO)
def test_a_stand_in_is_the_same_every_time(name: str) -> None:
    """Seeded: two builds are byte for byte the same."""
    assert ZOO[name]().SerializeToString() == ZOO[name]().SerializeToString()


def test_the_detector_mixes_pixels_with_scores() -> None:
    """Box columns reach over 100 while scores stay in 0..1: one int8 scale for both would wipe the scores out."""
    model = nano_detector()
    boxes = OrtEngine(model.SerializeToString()).run(feeds_for(model))["boxes"]
    assert boxes[..., :2].max() > 100
    assert 0 <= boxes[..., 4:].min() <= boxes[..., 4:].max() <= 1


def test_both_ways_of_normalizing_compute_the_same() -> None:
    """The decomposed encoder is the encoder with LayerNormalization, as an older exporter writes it."""
    new, old = transformer_encoder(), transformer_encoder(decomposed=True)
    feeds = feeds_for(new, 2)
    expected, actual = (OrtEngine(model.SerializeToString()).run(feeds)["y"] for model in (new, old))
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)
