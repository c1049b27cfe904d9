"""The committed model is what its card says, and the optimizer makes it smaller and keeps it right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_runtime.inference.batch import run_all
from edge_runtime.inference.ort import OrtEngine
from optimizer.demo import data
from optimizer.demo.model import optimize_demo_model

CARD = Path(__file__).parents[3] / "docs" / "demo_model" / "README.md"


def test_its_accuracy_is_the_one_stated() -> None:
    """The card's figure is measured, on bursts that nothing was tuned on."""
    bursts, classes = data.held_out()
    outputs = run_all(OrtEngine(data.MODEL.read_bytes()), {"vibration": bursts})["probabilities"]
    stated = re.search(r"\| float32 \| (0\.\d+) \|", CARD.read_text(encoding="utf-8"))
    assert stated is not None
    assert float((outputs.argmax(axis=1) == classes).mean()) == pytest.approx(float(stated[1]), abs=0.001)


def test_it_is_small_enough_to_ship() -> None:
    """One file under 300 kB, without external data."""
    assert data.MODEL.stat().st_size < 300_000


def test_no_two_data_sets_share_a_seed() -> None:
    """Calibration and evaluation are not the training bursts."""
    seeds = [getattr(data, name) for name in dir(data) if name.endswith("_SEED")]
    assert len(seeds) == 5
    assert len(set(seeds)) == len(seeds)


def test_the_optimizer_keeps_it_right_and_can_make_it_small() -> None:
    """The chosen form is verified within a point, and so is an int8 form of less than half the size."""
    result = optimize_demo_model(lambda stage, done, total: None)
    accuracy = result.chosen.accuracy
    int8 = [form for form in result.candidates if form.scheme is not None and form.accuracy is not None]
    assert min(len(form.data) for form in int8) < 0.5 * result.original_bytes
    assert min(form.loss for form in int8) <= 0.01
    assert accuracy is not None
    assert accuracy.value > accuracy.reference - 0.01
