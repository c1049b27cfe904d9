"""Two models or packages side by side: what differs is found, what cannot be compared is said."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from models import images, mlp, residual_convnet, tree

from benchmarks.latency import Plan
from edge_runtime.errors import BadInput
from edge_runtime.package import archive
from optimizer.compare import compare_files, difference
from optimizer.data import Dataset
from optimizer.flow import optimize
from optimizer.load import load_model
from optimizer.report.comparison import as_json, lines
from optimizer.request import Request

QUICK = Plan(rounds=6, slot_seconds=0.002, warmup_seconds=0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with models and two packages: one with real golden samples, one with noise."""
    path = tmp_path_factory.mktemp("compare")
    onnx.save_model(residual_convnet(), path / "net.onnx")
    onnx.save_model(mlp(), path / "mlp.onnx")
    onnx.save_model(tree(), path / "tree.onnx")
    other = residual_convnet()
    other.graph.initializer[2].raw_data = (onnx.numpy_helper.to_array(other.graph.initializer[2]) * 1.1).tobytes()
    onnx.save_model(other, path / "other.onnx")
    model = load_model(path / "net.onnx")
    optimize(model, Request(Dataset({"x": images(40)}, None, "c.npz"), plan=QUICK)).write(path / "real.edgepkg")
    optimize(model, Request(plan=QUICK)).write(path / "noise.edgepkg")
    return path


def test_a_model_is_identical_to_itself(folder: Path) -> None:
    """Largest difference 0, infinite ratio, full agreement."""
    found = compare_files(folder / "net.onnx", folder / "net.onnx")
    assert [(one.name, one.largest, one.sqnr_db, one.agreement) for one in found.outputs] == [("y", 0.0, math.inf, 1.0)]
    assert "y, 8 samples: identical" in "\n".join(lines(found))
    assert as_json(found)["outputs"][0]["identical"] is True


def test_golden_samples_are_used_where_they_are_real(folder: Path) -> None:
    """A package with the user's samples gives the inputs, on either side; noise stands in for none."""
    real = str(folder / "real.edgepkg")
    for pair in (("net.onnx", "real.edgepkg"), ("real.edgepkg", "net.onnx"), ("noise.edgepkg", "real.edgepkg")):
        found = compare_files(*(folder / name for name in pair))
        assert found.inputs_from == f"the golden samples of {real}"
        assert found.outputs[0].samples == 16
    assert compare_files(folder / "net.onnx", folder / "noise.edgepkg").inputs_from == "seeded noise"


def test_other_weights_show(folder: Path) -> None:
    """10 % more in one layer: the operators are equal, the answers are not."""
    found = compare_files(folder / "net.onnx", folder / "other.onnx")
    assert found.outputs[0].largest > 0
    assert found.outputs[0].sqnr_db is not None
    assert 0 < found.outputs[0].sqnr_db < 60
    sides = as_json(found)
    assert sides["a"]["operators"] == sides["b"]["operators"]


def test_what_the_packages_recorded_is_labelled(folder: Path) -> None:
    """Time with label and machine, and the command that measures both together."""
    manifest = archive.read(folder / "real.edgepkg").manifest
    text = "\n".join(lines(compare_files(folder / "net.onnx", folder / "real.edgepkg")))
    assert manifest.variants[0].latency is not None
    assert f"measured on {manifest.variants[0].latency.machine}" in text
    assert "nothing was measured now" in text
    assert f"edgeopt benchmark {folder / 'net.onnx'}" in text
    assert manifest.variants[0].precision in text


def test_other_inputs_are_said_not_run(folder: Path) -> None:
    """Two models that cannot be fed the same are still compared in everything else."""
    found = compare_files(folder / "net.onnx", folder / "mlp.onnx")
    assert found.outputs == ()
    assert "the inputs differ" in found.not_compared[0]
    text = "\n".join(lines(found))
    assert "not compared: outputs: the inputs differ" in text
    assert "GlobalAveragePool" in text


def test_a_tree_beside_a_network(folder: Path) -> None:
    """Operators of another domain carry it in their name."""
    assert (
        "ai.onnx.ml.TreeEnsembleRegressor"
        in as_json(compare_files(folder / "tree.onnx", folder / "mlp.onnx"))["a"]["operators"]
    )


def test_outputs_of_other_names_and_shapes_are_said(folder: Path) -> None:
    """An output that only one has, and one that has grown."""
    renamed = residual_convnet()
    renamed.graph.output[0].name = renamed.graph.node[-1].output[0] = "scores"
    onnx.save_model(renamed, folder / "renamed.onnx")
    found = compare_files(folder / "net.onnx", folder / "renamed.onnx")
    assert found.not_compared == ("output scores: only one of the two has it", "output y: only one of the two has it")
    cut = residual_convnet()
    del cut.graph.node[-1], cut.graph.output[:]
    cut.graph.node[-1].output[0] = "y"
    cut.graph.output.append(onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 16]))
    onnx.save_model(cut, folder / "cut.onnx")
    found = compare_files(folder / "net.onnx", folder / "cut.onnx")
    assert found.not_compared == ("output y: shapes [8, 4] and [8, 16]",)


def test_samples_that_one_cannot_take_are_said(folder: Path) -> None:
    """The golden samples have a shape that the other model fixes differently."""
    onnx.save_model(mlp(), folder / "a.onnx")
    other = mlp()
    other.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "F"
    other.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.ones((9, 64), np.float32), "w1"))
    onnx.save_model(other, folder / "b.onnx")
    found = compare_files(folder / "a.onnx", folder / "b.onnx")
    assert found.outputs == ()
    assert "they do not both run on the same inputs" in found.not_compared[0]


def test_a_missing_file_is_an_error(folder: Path) -> None:
    """On either side."""
    for pair in (("none.onnx", "net.onnx"), ("net.onnx", "none.edgepkg")):
        with pytest.raises(BadInput, match="none"):
            compare_files(*(folder / name for name in pair))


def test_the_ratio_is_that_of_its_formula() -> None:
    """Noise a tenth of the signal everywhere is 20 dB; seeded arrays against the definition."""
    signal = np.full((4, 3), 2.0, np.float32)
    assert difference("y", signal, signal * np.float32(1.1)).sqnr_db == pytest.approx(20.0, abs=1e-4)
    random = np.random.default_rng(0)
    for _ in range(20):
        a, b = random.normal(0, 3, (5, 7)), random.normal(0, 3, (5, 7))
        found = difference("y", a, b)
        assert found.sqnr_db == pytest.approx(10 * math.log10((a**2).sum() / ((a - b) ** 2).sum()))
        assert found.largest == pytest.approx(np.abs(a - b).max())
        assert found.agreement == (a.argmax(1) == b.argmax(1)).mean()


@pytest.mark.parametrize(
    ("a", "b", "largest", "decibels"),
    [
        ([[0.0, 0.0]], [[0.0, 1.0]], 1.0, None),
        ([[np.nan, 1.0]], [[np.nan, 1.0]], 0.0, math.inf),
        ([[np.nan, 1.0]], [[0.0, 1.0]], math.inf, None),
        ([[np.inf, 1.0]], [[-np.inf, 1.0]], math.inf, None),
        ([[np.inf, 1.0]], [[np.inf, 2.0]], 1.0, 0.0),
        ([[1, 2]], [[1, 4]], 2.0, 10 * math.log10(5 / 4)),
        ([["a", "b"]], [["a", "c"]], math.inf, None),
        ([[True, False]], [[True, False]], 0.0, None),
        (3.0, 4.0, 1.0, 10 * math.log10(9)),
    ],
    ids=str,
)
def test_odd_values(a: object, b: object, largest: float, decibels: float | None) -> None:
    """Silence, NaN and infinity in the same and in other places, integers, text, flags, a scalar."""
    found = difference("y", np.array(a), np.array(b))
    assert found.largest == largest
    assert found.sqnr_db == (decibels if decibels is None else pytest.approx(decibels))
