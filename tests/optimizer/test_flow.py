"""The whole flow on real models, judged by each model's own independent evaluation script."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from models import images, mlp, residual_convnet, tree

from benchmarks.latency import Plan
from edge_runtime.errors import BudgetNotMet
from edge_runtime.inference.ort import OrtEngine
from edge_runtime.inference.preprocess import Preprocess
from edge_runtime.package import archive
from edge_runtime.package.serving import load_for_serving
from optimizer import metrics
from optimizer.data import Dataset, load_dataset
from optimizer.evaluate import Budget
from optimizer.flow import optimize
from optimizer.load import load_model
from optimizer.request import Request
from optimizer.result import Result
from optimizer.schemes import Int8Static

QUICK = Plan(rounds=6, slot_seconds=0.002, warmup_seconds=0.01)


def _optimized(model: Path, *, calibration: Path | None, evaluation: Path | None, metric: str, budget: str) -> Result:
    loaded = load_model(model)
    data = [load_dataset(str(p), loaded.inputs, Preprocess()) if p else None for p in (calibration, evaluation)]
    # In onnxruntime alone, since that is what the models' own scripts run the result in.
    request = Request(data[0], data[1], metrics.find(metric), Budget.parse(budget), plan=QUICK, engine="onnxruntime")
    return optimize(loaded, request)


def _independent_score(folder: Path, result: Result, package: Path) -> float:
    """Write the package, take its variant out and score it with the folder's own script."""
    result.write(package)
    served = archive.read(package)
    variant = package.with_suffix(".onnx")
    variant.write_bytes(served.members[served.manifest.variants[0].file])
    command = [sys.executable, str(folder / "eval.py"), str(variant)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"(?:top1|RMSE|AUC) ([\d.]+)", printed)
    assert found, printed
    return float(found[1])


@dataclass(frozen=True)
class Real:
    """A real model, its data and its published float32 score."""

    name: str
    calibration: str
    evaluation: str
    metric: str
    budget: str
    float32: float
    allowed_loss: float
    same: float  # how close edgeopt and the independent script must be


REAL = (
    Real("kws_dscnn", "calib_200.npz", "test_800.npz", "top1", "1pt", 0.9050, 0.01, 0.001),
    Real("cifar10_resnet8", "calib_500.npz", "test_2000.npz", "top1", "1pt", 0.8790, 0.01, 0.001),
    Real("turbofan_rul", "calib.npz", "test.npz", "rmse", "3%", 15.715, 0.03 * 15.715, 0.02),
)


@pytest.mark.parametrize("real", REAL, ids=lambda real: real.name)
def test_real_models_score_as_printed_and_inside_the_budget(assets: Path, tmp_path: Path, real: Real) -> None:
    """The packaged variant scores in an independent script what edgeopt says, and loses no more than allowed."""
    folder = assets / real.name
    result = _optimized(
        folder / "model.onnx",
        calibration=folder / real.calibration,
        evaluation=folder / real.evaluation,
        metric=real.metric,
        budget=real.budget,
    )
    accuracy = result.manifest.variants[0].accuracy
    assert accuracy is not None
    assert accuracy.reference == pytest.approx(real.float32, abs=real.same)
    assert abs(accuracy.value - accuracy.reference) <= real.allowed_loss
    assert accuracy.low <= accuracy.value <= accuracy.high
    assert _independent_score(folder, result, tmp_path / "m.edgepkg") == pytest.approx(accuracy.value, abs=real.same)
    static = next(one for one in result.candidates if isinstance(one.scheme, Int8Static))
    assert static.accuracy is not None, "the static form was built and judged, whatever was chosen in the end"
    assert len(static.data) < 0.6 * result.original_bytes


@pytest.mark.parametrize(("file", "auc"), [("model_lightgbm.onnx", 0.9748), ("model_rf.onnx", 0.9715)])
def test_trees_are_passed_through(assets: Path, tmp_path: Path, file: str, auc: float) -> None:
    """A tree ensemble comes out byte for byte as it went in, with the reason and its unchanged score."""
    folder = assets / "machine_failure_trees"
    result = _optimized(
        folder / file, calibration=folder / "calib.npz", evaluation=folder / "test.npz", metric="auc", budget="1pt"
    )
    assert result.chosen.data == (folder / file).read_bytes()
    assert "passed through unchanged" in result.manifest.chosen_because
    assert "TreeEnsembleClassifier" in result.manifest.chosen_because
    assert result.manifest.variants[0].accuracy is not None
    assert result.manifest.variants[0].accuracy.value == pytest.approx(auc, abs=1e-4)
    assert _independent_score(folder, result, tmp_path / "t.edgepkg") == pytest.approx(auc, abs=1e-4)


def test_an_already_quantized_model_is_passed_through(assets: Path) -> None:
    """Weights that are 8-bit already are not quantized again; the reason names what was found."""
    folder = assets / "kws_dscnn"
    model = folder / "model_int8weights_dynrange_tflite.onnx"
    result = _optimized(
        model,
        calibration=folder / "calib_200.npz",
        evaluation=folder / "test_800.npz",
        metric="top1",
        budget="1pt",
    )
    assert result.chosen.data == model.read_bytes()
    assert "already quantized" in result.manifest.chosen_because
    assert result.manifest.variants[0].accuracy is not None
    assert result.manifest.variants[0].accuracy.value == pytest.approx(0.8912, abs=0.002)


ODD = (
    "ch_ppocr_mobile_v2.0_cls_infer",
    "magika_standard_v3_3",
    "mnist-8",
    "silero_vad",
    "ultraface_rfb_320",
)


@pytest.mark.parametrize("name", ODD)
def test_odd_graphs_come_out_packaged_and_served(assets: Path, tmp_path: Path, name: str) -> None:
    """Control flow, integer inputs, old operator sets, open shapes: packaged, and served with golden samples met."""
    result = _optimized(
        assets / "odd_graphs" / f"{name}.onnx", calibration=None, evaluation=None, metric="agreement", budget="1pt"
    )
    result.write(tmp_path / "odd.edgepkg")
    served = load_for_serving(tmp_path / "odd.edgepkg")
    assert served.golden.worst <= 1.0
    assert result.manifest.golden.synthetic


def _save(path: Path, model: onnx.ModelProto) -> Path:
    onnx.save_model(model, path)
    return path


def _small_data(count: int = 40) -> Dataset:
    return Dataset({"x": images(count)}, None, "x.npz")


def _own_outputs() -> Dataset:
    """Return samples whose labels are what the float32 model itself says."""
    x = images(40)
    return Dataset({"x": x}, OrtEngine(residual_convnet().SerializeToString()).run({"x": x})["y"], "e.npz")


def test_without_data_nothing_that_needs_ranges_is_tried(tmp_path: Path) -> None:
    """No random calibration: only data-free forms, and a plain warning with the command that would verify."""
    model = load_model(_save(tmp_path / "net.onnx", residual_convnet()))
    result = optimize(model, Request(plan=QUICK))
    inside = {one.name for one in result.candidates if one.engine_name == "onnxruntime"}
    assert inside <= {"fp32", "fp32-simplified", "cpu-weights-s8"}
    assert all(one.scheme is None for one in result.candidates if one.name not in inside)
    assert any("edgeopt quantize" in warning and "--evaluation" in warning for warning in result.warnings)
    assert result.manifest.variants[0].accuracy is None
    assert result.manifest.source.calibration_sha256 is None


def test_a_budget_nothing_meets_gives_float32_with_the_reason(tmp_path: Path) -> None:
    """Where the float32 outputs are the truth, any rounding loses; the result is float32 and says why."""
    model = load_model(_save(tmp_path / "net.onnx", residual_convnet()))
    request = Request(_small_data(), _own_outputs(), metrics.find("mae"), Budget.parse("0pt"), plan=QUICK)
    result = optimize(model, request)
    assert result.chosen.scheme is None
    static = next(one for one in result.candidates if isinstance(one.scheme, Int8Static))
    assert "outside the budget of 0pt" in str(static.rejected)
    lossy = {one.name for one in result.candidates if one.scheme is not None or one.engine_name != "onnxruntime"}
    lost = {lost.name for lost in result.manifest.rejected if "budget" in lost.reason}
    assert {one.name for one in result.candidates if one.scheme is not None} <= lost <= lossy


def test_require_int8_fails_where_none_came_through(tmp_path: Path) -> None:
    """The same situation is an error with exit status 4 when int8 was demanded."""
    model = load_model(_save(tmp_path / "net.onnx", residual_convnet()))
    request = Request(
        _small_data(), _own_outputs(), metrics.find("mae"), Budget.parse("0pt"), require_int8=True, plan=QUICK
    )
    with pytest.raises(BudgetNotMet) as caught:
        optimize(model, request)
    assert (caught.value.code, caught.value.exit_status) == ("E-BUDGET-INT8", 4)
    assert re.search(r"needs --max-drop [\d.]+pt", caught.value.fix)


def test_require_int8_on_a_tree_says_that_there_is_nothing_to_quantize(tmp_path: Path) -> None:
    """The reason for the failure is the model, not the budget."""
    model = load_model(_save(tmp_path / "tree.onnx", tree()))
    with pytest.raises(BudgetNotMet, match="constant float32 weights"):
        optimize(model, Request(require_int8=True, plan=QUICK))


def test_calibration_alone_is_judged_on_itself_with_a_warning(tmp_path: Path) -> None:
    """Agreement on the calibration samples is better than nothing, and called optimistic."""
    model = load_model(_save(tmp_path / "net.onnx", residual_convnet()))
    result = optimize(model, Request(_small_data(), plan=QUICK))
    assert result.manifest.variants[0].accuracy is not None
    assert result.manifest.variants[0].accuracy.metric == "agreement"
    assert any("optimistic" in warning for warning in result.warnings)


def test_evaluation_alone_never_calibrates(tmp_path: Path) -> None:
    """Evaluation samples show no ranges: the judge must not be the teacher."""
    model = load_model(_save(tmp_path / "mlp.onnx", mlp()))
    evaluation = Dataset({"x": np.ones((20, 8), np.float32)}, None, "e.npz")
    result = optimize(model, Request(evaluation=evaluation, plan=QUICK))
    assert not any(isinstance(candidate.scheme, Int8Static) for candidate in result.candidates)


def test_another_target_is_not_called_measured_there(tmp_path: Path) -> None:
    """Latency measured here is said to be measured here."""
    model = load_model(_save(tmp_path / "net.onnx", residual_convnet()))
    result = optimize(model, Request(_small_data(), target="raspberry-pi-4", plan=QUICK))
    assert result.manifest.target == "raspberry-pi-4"
    assert any("not on raspberry-pi-4" in warning for warning in result.warnings)


def test_the_users_file_and_folder_stay_as_they_were(tmp_path: Path) -> None:
    """Nothing is written beside the model: no inferred copy, no temporary file."""
    path = _save(tmp_path / "net.onnx", residual_convnet())
    before = path.read_bytes()
    optimize(load_model(path), Request(_small_data(), plan=QUICK))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]


def test_few_samples_are_said_to_leave_a_wide_interval(tmp_path: Path) -> None:
    """Below a hundred evaluation samples the result warns; what they are all of one class is said as well."""
    path = tmp_path / "net.onnx"
    onnx.save_model(residual_convnet(), path)
    few = Dataset({"x": images(20)}, np.ones(20), "few.npz")
    request = Request(None, few, metrics.find("top1"), Budget.parse("1pt"), plan=QUICK)
    warnings = optimize(load_model(path), request).warnings
    assert any("only 20 evaluation samples" in warning for warning in warnings)
    assert any("of class 1" in warning for warning in warnings)
