"""The gates a candidate passes, and the choice between those that came through."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.latency import Interval
from edge_runtime.inference.ort import SessionSettings
from optimizer.candidates import Candidate, choose, gate, pareto
from optimizer.evaluate import noise_in
from optimizer.recipe import Recipe
from optimizer.schemes import Int8Dynamic, Int8Static, Int8Weights, Scheme


def _candidate(name: str, scheme: Scheme | None, low: float, value: float, high: float) -> Candidate:
    speed = Interval(value, low, high)
    recipe = Recipe(scheme) if scheme else None
    return Candidate(name, name, b"model", SessionSettings(), recipe, milliseconds=speed, speedup=speed)


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


def test_the_fastest_form_wins() -> None:
    """Speed comes before size, size before nothing; the user's own model is the last resort."""
    static = _candidate("static", Int8Static(), 1.2, 1.4, 1.5)
    dynamic = _candidate("dynamic", Int8Dynamic(), 1.5, 1.9, 2.1)
    weights = _candidate("weights", Int8Weights(), 0.99, 1.0, 1.01)
    rewritten = _candidate("rewritten", None, 1.4, 1.5, 1.6)
    same = _candidate("simplified", None, 0.99, 1.01, 1.1)
    smaller = replace(_candidate("smaller", Int8Static(), 1.4, 1.49, 1.6), data=b"m")
    assert choose([OWN, rewritten, static, dynamic, weights]) is dynamic
    assert choose([OWN, rewritten, static, weights]) is rewritten
    assert choose([OWN, rewritten, smaller]) is smaller
    assert choose([OWN, rewritten, replace(smaller, data=b"mode", noise=0.1)]) is not rewritten
    assert (
        choose([OWN, replace(rewritten, data=b"x" * 99), replace(smaller, data=b"x" * 98, noise=0.1)]).name
        == "rewritten"
    )
    assert choose([OWN, gate(same), weights]) is weights
    assert choose([OWN]) is OWN


def test_pareto_keeps_what_nothing_beats_in_everything() -> None:
    """Faster, more accurate or smaller is enough to stay; worse in all of it is not."""
    fast = replace(_candidate("fast", Int8Static(), 1.9, 2.0, 2.1), data=b"12345")
    small = replace(_candidate("small", Int8Weights(), 0.9, 1.0, 1.1), data=b"1")
    beaten = replace(_candidate("beaten", Int8Static(), 1.4, 1.5, 1.6), data=b"123456")
    assert pareto([replace(OWN, data=b"1234567"), fast, small, beaten]) == {"fast", "small"}


@pytest.mark.parametrize(("scale", "noise"), [(0.0, 0.0), (0.1, 0.01), (1.0, 1.0)])
def test_noise_is_a_share_of_the_signal(scale: float, noise: float) -> None:
    """0 is no loss; 1 is a difference as large as the signal itself."""
    reference = np.tile([1.0, -1.0], 50).astype(np.float32)
    assert noise_in(reference * (1 + scale), reference) == pytest.approx(noise, rel=1e-5)
