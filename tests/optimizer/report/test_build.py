"""A result's report holds what the optimization found, and travels in the package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from models import images, mlp, residual_convnet, tree

from benchmarks.latency import Comparison, Interval, Plan
from edge_runtime.inference.ort import OrtEngine, SessionSettings
from edge_runtime.package import archive
from edge_runtime.package.serving import load_for_serving
from optimizer import metrics
from optimizer.audit import Audit, FellBack, audit
from optimizer.data import Dataset
from optimizer.evaluate import Budget
from optimizer.flow import optimize
from optimizer.load import load_model
from optimizer.quantize import quantize, tensors_to_observe
from optimizer.recipe import Recipe
from optimizer.report.build import report_of, with_report
from optimizer.report.evidence import Evidence
from optimizer.report.layers import layers_of
from optimizer.report.record import MEMBER, Kernels, Layer, Lint, Repair, decode, of_package
from optimizer.request import Request
from optimizer.result import Result
from optimizer.schemes import Int8Dynamic, Int8Static, Int8Weights, Scheme
from optimizer.simplify import simplify
from optimizer.stopwatch import Timed

QUICK = Plan(rounds=6, slot_seconds=0.002, warmup_seconds=0.01)
NOTHING = Audit(0, 0, 0, ())
ONE = Interval(1.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Return the result for a small network with calibration and evaluation data."""
    path = tmp_path_factory.mktemp("build") / "net.onnx"
    onnx.save_model(residual_convnet(), path)
    x = images(60, seed=1)
    y = OrtEngine(path.read_bytes()).run({"x": x})["y"]
    calibration = Dataset({"x": images(40)}, None, str(path.parent / "calib.npz"))
    evaluation = Dataset({"x": x}, y, "test.npz")
    budget = Budget.parse("5%")
    return optimize(load_model(path), Request(calibration, evaluation, metrics.find("rmse"), budget, plan=QUICK))


def test_the_report_is_in_the_package(result: Result, tmp_path: Path) -> None:
    """Written with the package, listed in its manifest, read back; the package serves as before."""
    file = tmp_path / "net.edgepkg"
    result.write(file)
    package = archive.read(file)
    assert MEMBER in package.manifest.members
    assert of_package(file, package) == decode(result.members[MEMBER])
    assert load_for_serving(file).golden.samples == 16


def test_it_holds_what_was_found(result: Result) -> None:
    """Every candidate with numbers and reason, one chosen; options, data by name and digest, rewrites, operators."""
    report = report_of(result)
    assert [form.name for form in report.forms] == [candidate.name for candidate in result.candidates]
    assert [form.name for form in report.forms if form.chosen] == [result.chosen.name]
    for form, candidate in zip(report.forms, result.candidates, strict=True):
        assert form.rejected == candidate.rejected
        assert (form.accuracy is None) == (candidate.accuracy is None)
        assert (form.milliseconds is None) == (candidate.milliseconds is None)
        if form.speedup is not None and candidate.speedup is not None:
            assert form.speedup.value == candidate.speedup.value
    assert report.chosen is not None
    assert report.chosen.kernels == Kernels(
        result.executed.integer, result.executed.float32, result.executed.conversions
    )
    assert report.options is not None
    reference = result.candidates[0].accuracy
    assert reference is not None
    assert (report.options.metric, report.options.budget, report.options.effort) == ("rmse", "5%", "default")
    assert report.options.allowed == pytest.approx(0.05 * reference.value)
    assert [(data.role, data.source, data.samples) for data in report.data] == [
        ("calibration", "calib.npz", 40),
        ("evaluation", "test.npz", 60),
    ]
    assert report.data[0].sha256 == result.manifest.source.calibration_sha256
    assert [step.name for step in report.rewrites if step.kept]
    assert report.operators.given == {"Conv": 2, "Relu": 2, "Add": 1, "Flatten": 1, "GlobalAveragePool": 1, "MatMul": 1}
    assert report.operators.executed
    assert report.warnings == result.warnings
    assert report.model.bytes == result.original_bytes
    assert (report.label, report.model.opset) == ("measured", 17)


def test_what_others_add_is_shown(result: Result) -> None:
    """Losses, gains, repairs, findings and times come through once they are among the evidence."""
    name = report_of(result).layers[0].name
    more = replace(
        result.evidence,
        losses={name: 0.25},
        gains={name: -0.5},
        outliers={name: 40.0},
        inputs={name: (-1.0, 2.0)},
        reasons={name: "because"},
        repairs=(Repair("step", True),),
        lint=(Lint("L-X", "what", "fix"),),
        timings=(Timed("d", ("fp32",), Comparison((ONE,), (ONE,))),),
        kernels={result.candidates[0].name: Kernels(1, 2, 3)},
    )
    report = report_of(replace(result, evidence=more))
    layer = report.layers[0]
    assert (layer.loss, layer.milliseconds, layer.outlier_ratio) == (0.25, -0.5, 40.0)
    assert (layer.low, layer.high, layer.reason) == (-1.0, 2.0, "because")
    assert report.layers[1].loss is None
    assert (report.repairs, report.lint, report.timings) == (more.repairs, more.lint, more.timings)
    if result.chosen is not result.candidates[0]:
        assert report.forms[0].kernels == Kernels(1, 2, 3)


def test_layers_that_fell_back_are_warned_of(result: Result) -> None:
    """A layer that is quantized in the file and runs in float is in the warnings, with the reason."""
    fallen = replace(result, executed=Audit(0, 1, 0, (FellBack("conv1", "no kernel"),)))
    assert "conv1 is quantized and runs in float: no kernel" in report_of(fallen).warnings


def test_a_tree_has_a_report_as_well(tmp_path: Path) -> None:
    """Nothing to quantize: one form, no layers, no rewrites."""
    onnx.save_model(tree(), tmp_path / "tree.onnx")
    found = optimize(load_model(tmp_path / "tree.onnx"), Request(plan=QUICK))
    report = decode(with_report(found).members[MEMBER])
    assert [form.name for form in report.forms] == ["as-given"]
    assert (report.layers, report.rewrites, report.operators.simplified) == ((), (), {})


def made(model: onnx.ModelProto, scheme: Scheme, feeds: dict[str, np.ndarray], keep: tuple[str, ...] = ()) -> bytes:
    """Return the model in a quantized form."""
    data = simplify(model.SerializeToString(), feeds).data
    ranges = dict.fromkeys(tensors_to_observe(data), (-3.0, 3.0))
    return quantize(data, Recipe(scheme, keep_float=keep), ranges)


def shown(layers: tuple[Layer, ...]) -> list[tuple[str, str]]:
    """Return operator and precision of each."""
    return [(layer.operator, layer.precision) for layer in layers]


def test_layers_of_every_form() -> None:
    """Static, static with a float layer, dynamic, weights only, float: precision and reason are those of the form."""
    x, rows = {"x": images(1)}, {"x": np.ones((1, 8), np.float32)}
    static = layers_of(made(residual_convnet(), Int8Static(), x), NOTHING, Evidence())
    assert shown(static) == [("Conv", "int8"), ("Conv", "int8"), ("MatMul", "int8")]
    assert [layer.name for layer in static] == ["conv1", "conv2", "classifier"]
    partly = layers_of(made(residual_convnet(), Int8Static(), x, ("conv1",)), NOTHING, Evidence())
    assert shown(partly) == [("Conv", "float32"), ("Conv", "int8"), ("MatMul", "int8")]
    assert partly[0].reason == "kept in float32 in this form"
    dynamic = layers_of(made(mlp(), Int8Dynamic(), rows), NOTHING, Evidence())
    assert shown(dynamic) == [("MatMul", "int8"), ("MatMul", "int8")]
    assert [layer.name for layer in dynamic] == ["dense1", "dense2"]
    weights = layers_of(made(residual_convnet(), Int8Weights(), x), NOTHING, Evidence())
    assert weights[0].precision == "float32"
    assert "int8 weights" in weights[0].reason
    plain = layers_of(residual_convnet().SerializeToString(), NOTHING, Evidence())
    assert shown(plain) == [("Conv", "float32"), ("Conv", "float32"), ("MatMul", "float32")]
    assert {layer.reason for layer in plain} == {"the whole form is float32"}


def test_a_layer_that_falls_back_is_float() -> None:
    """What the audit saw overrules what the file says."""
    data = made(residual_convnet(), Int8Static(), {"x": images(1)})
    layers = layers_of(data, Audit(0, 0, 0, (FellBack("conv2", "no kernel"),)), Evidence())
    assert (layers[1].precision, "runs in float32: no kernel" in layers[1].reason) == ("float32", True)
    real = audit(data, SessionSettings())
    assert sum(layer.precision == "int8" for layer in layers_of(data, real, Evidence())) == real.integer


def test_the_same_result_gives_the_same_report(result: Result) -> None:
    """Building the report measures nothing: twice is the same."""
    assert report_of(result) == report_of(result)
    assert msgspec.json.encode(report_of(result)) == msgspec.json.encode(report_of(result))
