"""`--threads auto` from the measurement to the daemon's session."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from commands import prepared

import optimizer
from benchmarks.latency import Interval, Plan
from edge_runtime.package.serving import load_for_serving
from optimizer.report.record import MEMBER, decode
from optimizer.stopwatch import Timed

QUICK = Plan(rounds=6, slot_seconds=0.002, warmup_seconds=0.01)


def _twice_as_fast(taken: Timed) -> Timed:
    """Return the comparison of thread counts as if every doubling had halved the time."""
    speedups = tuple(Interval(speed, speed, speed) for speed in (1.0, *(2.0**n for n in range(len(taken.names) - 1))))
    return msgspec.structs.replace(taken, comparison=replace(taken.comparison, speedups=speedups))


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs a second core")
@pytest.mark.parametrize("pays", [False, True])
def test_threads_are_measured_packaged_and_served(tmp_path: Path, pays: bool) -> None:
    """What the measurement shows to be worth it stands in variant, latency and report, and in the served session."""
    model = prepared(tmp_path) / "net.onnx"
    options = {"effort": "quick", "threads": "auto", "plan": QUICK}
    result = optimizer.optimize(model, tmp_path / "calib.npz", **options)
    *others, threads = decode(result.members[MEMBER]).timings
    assert "on 1 threads" in threads.names[1]
    if pays:
        taken = (*others, _twice_as_fast(threads))
        machine = decode(result.members[MEMBER]).machine
        result = optimizer.optimize(model, tmp_path / "calib.npz", measurements=taken, machine=machine, **options)
        assert result.manifest.variants[0].threads == os.cpu_count()
    variant = result.manifest.variants[0]
    report = decode(result.members[MEMBER])
    assert variant.latency is not None
    assert report.options is not None
    assert variant.threads == variant.latency.threads == report.options.threads
    result.write(tmp_path / "net.edgepkg")
    assert load_for_serving(tmp_path / "net.edgepkg").engine.threads == variant.threads
