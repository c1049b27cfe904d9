"""Workbenches for tests: a model and its samples, ready to make and judge forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from benchmarks.latency import Plan
from edge_runtime.inference.ort import OrtEngine, SessionSettings
from optimizer.cache import Cache
from optimizer.calibrate.observe import observe
from optimizer.candidates import Candidate
from optimizer.data import Dataset
from optimizer.evaluate import Budget, Judge
from optimizer.executor import Workers
from optimizer.metrics import Metric
from optimizer.placement import static_order
from optimizer.quantize import tensors_to_observe
from optimizer.stopwatch import Stopwatch
from optimizer.workbench import Base, Order, Terms, Workbench

QUICK = Plan(rounds=6, slot_seconds=0.002, warmup_seconds=0.01)


def base_of(data: bytes, x: NDArray[Any], label: str = "") -> Base:
    """Return a base without protected nodes, observed on the samples of input x."""
    samples = Dataset({"x": x}, None, "x")
    histograms = observe(data, tensors_to_observe(data), samples, lambda done, total: None)
    return Base(label, data, histograms, samples)


def bench_of(
    data: bytes, x: NDArray[Any], metric: Metric, budget: Budget, cache: Cache | None = None, base: Base | None = None
) -> Workbench:
    """Return a workbench whose judge takes the float32 outputs as labels."""
    engine = OrtEngine(data)
    by = Judge.of(engine, metric, Dataset({"x": x}, engine.run({"x": x})["y"], "own outputs"), None)
    terms = Terms({"x": x[:1]}, by, budget, 1)
    return Workbench(base or base_of(data, x), terms, cache or Cache(), Workers(), {"tool": "1"})


def stopwatch_for(x: NDArray[Any], cache: Cache | None = None) -> Stopwatch:
    """Return a stopwatch that times one sample of input x."""
    return Stopwatch({"x": x[:1]}, "test machine", {"tool": "1"}, cache or Cache())


def original_of(data: bytes) -> Candidate:
    """Return the user's own model."""
    return Candidate("fp32", "as given", data, SessionSettings())


def full_order(bench: Workbench) -> Order:
    """Return how the fully quantized form is made."""
    return static_order(bench.base, (), "")


def folder_of(tmp_path: Path) -> Cache:
    """Return a cache in a folder."""
    return Cache(tmp_path / "cache")
