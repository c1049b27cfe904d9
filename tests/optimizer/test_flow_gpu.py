"""Packages for boards with a GPU: its forms go first, labelled as what nobody has executed there."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from benches import QUICK
from models import images, residual_convnet

from devices import profile
from edge_runtime.package.serving import load_for_serving
from optimizer import flow, metrics
from optimizer.data import Dataset
from optimizer.evaluate import Budget
from optimizer.load import load_model
from optimizer.request import Request
from optimizer.target import Target


def test_a_board_with_tensorrt_gets_its_forms_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both carry provider and accuracy, but no speed; this machine has no GPU and serves what stands behind them."""
    target = Target("jetson-orin-nano", profile.load("jetson-orin-nano"))
    monkeypatch.setattr(flow, "all_of", lambda names, progress: (target,))
    onnx.save_model(residual_convnet(), tmp_path / "net.onnx")
    agreement, budget = metrics.BUILT_IN["agreement"], Budget.parse("5pt")
    calibration = Dataset({"x": images(40)}, None, "x.npz")
    request = Request(calibration, metric=agreement, budget=budget, plan=QUICK, effort="quick")
    result = flow.optimize(load_model(tmp_path / "net.onnx"), request)
    variants = result.manifest.variants
    assert [variant.name for variant in variants[:2]] == ["trt-s8s8", "trt-fp16"]
    for variant in variants[:2]:
        assert variant.provider == "tensorrt"
        assert variant.latency is None
        assert variant.accuracy is not None
    assert {variant.provider for variant in variants[2:]} == {"cpu"}
    assert sum("never executed on a GPU" in warning for warning in result.warnings) == 2
    result.write(tmp_path / "net.edgepkg")
    served = load_for_serving(tmp_path / "net.edgepkg")
    assert served.provider == "cpu"
    assert {"trt-s8s8", "trt-fp16"} <= {skipped.name for skipped in served.skipped}
