"""The gates a candidate passes, and the choice between those that came through."""

from __future__ import annotations

from dataclasses import replace

import pytest
from models import images, residual_convnet

from benchmarks.latency import Interval
from edge_runtime.inference.ort import SessionSettings
from optimizer.candidates import Candidate, build, choose, gate
from optimizer.recipe import Recipe
from optimizer.schemes import Int8Dynamic, Int8Static, Int8Weights, Scheme


def _candidate(name: str, scheme: Scheme | None, low: float, value: float, high: float) -> Candidate:
    speed = Interval(value, low, high)
    return Candidate(name, name, b"model", SessionSettings(), scheme, milliseconds=speed, speedup=speed)


OWN = _candidate("fp32", None, 1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("scheme", "low", "value", "high", "passes"),
    [
        (Int8Static(), 1.05, 1.4, 1.6, True),
        (Int8Static(), 0.98, 1.2, 1.5, False),
        (Int8Static(), 0.6, 0.7, 0.8, False),
        (None, 1.01, 1.1, 1.2, True),
        (None, 0.99, 1.1, 1.2, False),
        (Int8Weights(), 0.9, 0.98, 1.02, True),
        (Int8Weights(), 0.6, 0.8, 0.9, False),
    ],
)
def test_speed_gate(scheme: Scheme | None, low: float, value: float, high: float, passes: bool) -> None:
    """Faster means shown to be faster, beyond what two copies differ; a form that gains size must not be slower."""
    gated = gate(_candidate("c", scheme, low, value, high))
    assert (gated.rejected is None) is passes
    assert passes or f"{value:.2f}" in str(gated.rejected)


def test_the_first_reason_stays() -> None:
    """A form that is out for its accuracy is not said to be out for its speed."""
    out = replace(_candidate("c", Int8Static(), 0.6, 0.7, 0.8), rejected="outside the budget")
    assert gate(out).rejected == "outside the budget"


def test_the_fastest_quantized_form_wins() -> None:
    """Speed comes before size, size before nothing; the user's own model is the last resort."""
    static = _candidate("static", Int8Static(), 1.2, 1.4, 1.5)
    dynamic = _candidate("dynamic", Int8Dynamic(), 1.5, 1.9, 2.1)
    weights = _candidate("weights", Int8Weights(), 0.99, 1.0, 1.01)
    simplified = _candidate("simplified", None, 1.01, 1.05, 1.1)
    assert choose([OWN, simplified, static, dynamic, weights]) is dynamic
    assert choose([OWN, simplified, weights]) is weights
    assert choose([OWN, simplified]) is simplified
    assert choose([OWN]) is OWN


def test_a_form_that_cannot_be_built_is_a_rejected_candidate() -> None:
    """Static quantization without ranges fails inside onnxruntime; the work goes on without it and says why."""
    data, sample = residual_convnet().SerializeToString(), {"x": images(1)}
    broken = build(data, Recipe(Int8Static()), {"x": (0.0, 1.0)}, 1, sample)
    assert broken.rejected is not None
    assert broken.data == b""
