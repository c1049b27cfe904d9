"""Faults planted in data are named, each by its code; data without fault are left in peace."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import mlp, model_of
from numpy.typing import NDArray
from onnx import helper

from edge_runtime.errors import BadInput
from edge_runtime.inference.preprocess import Preprocess
from optimizer.data import Dataset, load_dataset
from optimizer.lint import lint
from optimizer.load import LoadedModel, load_model

ROOT = Path(__file__).resolve().parents[3]
Images = NDArray[np.float32]

CLEAN = [
    ("kws_dscnn", "model", "calib_200", "test_800"),
    ("cifar10_resnet8", "model", "calib_500", "test_2000"),
    ("turbofan_rul", "model", "calib", "test"),
    ("machine_failure_trees", "model_rf", "calib", "test"),
    ("machine_failure_trees", "model_lightgbm", "calib", "test"),
    ("machine_temperature", "model", "calib", "test"),
]


def codes(data: bytes, calibration: Dataset | None, evaluation: Dataset | None = None) -> set[str]:
    """Return the codes found, after a look at what every finding owes its reader."""
    findings = lint(data, calibration, evaluation)
    for finding in findings:
        assert re.search(r"numpy|--\w|x\[", finding.fix), finding
        assert finding.code in str(finding)
    return {finding.code for finding in findings}


def changed(data: Dataset, change: Callable[[Any], Any], *, labels: bool = True) -> Dataset:
    """Return a single-input dataset with something done to all its samples."""
    ((name, array),) = data.feeds.items()
    x = np.ascontiguousarray(change(array[:]), np.float32)
    return Dataset({name: x}, data.labels if labels and len(x) == len(data) else None, data.source)


def picked(data: Dataset, index: NDArray[Any]) -> Dataset:
    """Return some of the samples, with their labels."""
    feeds = {name: array[:][index] for name, array in data.feeds.items()}
    return Dataset(feeds, None if data.labels is None else data.labels[index], data.source)


def loaded(assets: Path, folder: str, name: str, *files: str) -> tuple[LoadedModel, list[Dataset]]:
    """Return a real model and its data, read as the command would."""
    model = load_model(assets / folder / f"{name}.onnx")
    return model, [load_dataset(str(assets / folder / f"{file}.npz"), model.inputs, Preprocess()) for file in files]


@pytest.mark.parametrize(("folder", "name", "calibration", "evaluation"), CLEAN)
def test_real_data_give_no_finding(assets: Path, folder: str, name: str, calibration: str, evaluation: str) -> None:
    """Nothing is said of real models with their own data, together, alone, the other way round, and in small pieces."""
    model, (ours, theirs) = loaded(assets, folder, name, calibration, evaluation)
    assert codes(model.data, ours, theirs) == set()
    assert codes(model.data, None, theirs) == set()
    random = np.random.default_rng(0)
    for size in (17, 90):
        pieces = [picked(data, random.choice(len(data), size, replace=False)) for data in (ours, theirs)]
        assert codes(model.data, *pieces) - {"L-FEW-SAMPLES"} == set()


@pytest.mark.parametrize("folder", ["kws_dscnn", "cifar10_resnet8"])
def test_one_class_for_ranges_and_another_for_accuracy_is_no_scale_and_no_colour(assets: Path, folder: str) -> None:
    """Data of one class each differ in everything, and are still on the right scale in the right order."""
    files = next(row[2:] for row in CLEAN if row[0] == folder)
    model, (ours, theirs) = loaded(assets, folder, "model", *files)
    assert ours.labels is not None
    assert theirs.labels is not None
    for one in (0, 7):
        pieces = [picked(ours, np.flatnonzero(ours.labels == one))]
        pieces.append(picked(theirs, np.flatnonzero(theirs.labels == (one + 3) % 10)))
        assert codes(model.data, *pieces) - {"L-FEW-SAMPLES"} == set()


FAULTS: dict[str, tuple[Callable[[Any], Any], set[str]]] = {
    "too small": (lambda x: x / 255, {"L-SCALE"}),
    "too large": (lambda x: x * 255, {"L-SCALE"}),
    "bgr": (lambda x: x[..., ::-1], {"L-CHANNEL-ORDER"}),
    "reshaped": (lambda x: x.transpose(0, 3, 1, 2).reshape(x.shape), {"L-LAYOUT"}),
    "twice": (lambda x: np.repeat(x[: len(x) // 2], 2, axis=0), {"L-DUPLICATES"}),
    "blank": (lambda x: np.where(np.arange(len(x))[:, None, None, None] % 3 == 0, 7, x), {"L-CONSTANT"}),
    "bgr too small": (lambda x: x[..., ::-1] / 255, {"L-SCALE", "L-CHANNEL-ORDER"}),
    "three": (lambda x: x[:3], {"L-FEW-SAMPLES"}),
}


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named_on_a_real_model_without_statistics(assets: Path, fault: str, labels: bool) -> None:
    """Planted in both sets alike or in the calibration alone, with labels or without: found, and nothing else is."""
    model, (ours, theirs) = loaded(assets, "cifar10_resnet8", "model", "calib_500", "test_2000")
    ours, theirs = picked(ours, np.arange(200)), picked(theirs, np.arange(200))
    change, expected = FAULTS[fault]
    bad = changed(ours, change, labels=labels)
    assert codes(model.data, bad, changed(theirs, change, labels=labels)) == expected
    if labels:
        assert codes(model.data, bad, theirs) == expected


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda x: x / 255, "L-SCALE"),
        (lambda x: x * 255, "L-SCALE"),
        (lambda x: x.transpose(0, 2, 1).reshape(x.shape), "L-LAYOUT"),
    ],
)
def test_faults_are_named_where_the_model_normalises_itself(
    assets: Path, change: Callable[[Any], Any], code: str
) -> None:
    """The constants a model normalises its sensors with tell the scale; channels that mix tell the layout."""
    model, (ours, theirs) = loaded(assets, "turbofan_rul", "model", "calib", "test")
    assert codes(model.data, changed(ours, change), changed(theirs, change)) == {code}
    assert codes(model.data, changed(ours, change), theirs) == {code}


def smooth_images(count: int, seed: int) -> Images:
    """Return [N,32,32,3] images of 0 to 255: a few soft waves, and colours that are reddish on average."""
    random = np.random.default_rng(seed)
    places = np.linspace(0, 2 * np.pi, 32)
    images = np.zeros((count, 32, 32, 3))
    for wave in range(1, 4):
        phase = random.uniform(0, 2 * np.pi, (2, count, 1, 1, 3))
        strength = random.normal(0, 0.25 / wave, (count, 1, 1, 3))
        images += strength * np.sin(wave * places[:, None, None] + phase[0]) * np.sin(wave * places[:, None] + phase[1])
    images = images * (0.5, 0.35, 0.25) + random.normal((0.6, 0.5, 0.35), 0.08, (count, 1, 1, 3))
    return np.clip(np.rint(images * 255), 0, 255).astype(np.float32)


def stand_in(form: str, normalised: bool = True) -> bytes:
    """Return a network whose batch normalisation has the statistics of smooth images; untrained behind that.

    Args:
        form: ``NHWC raw``, ``NCHW raw``, ``NHWC unit`` or ``NCHW unit``: layout, and 0 to 255 or 0 to 1.
        normalised: Whether it has batch normalisation; without, a plain convolution that says nothing of its input.
    """
    random = np.random.default_rng(5)
    weight = random.normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32)
    x = smooth_images(200, 1).transpose(0, 3, 1, 2) / (255 if "unit" in form else 1)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
    before = np.einsum("nchwij,ocij->nohw", windows, weight)
    ones = np.ones(8, np.float32)
    weights = {
        "w": weight,
        "mean": before.mean(axis=(0, 2, 3)).astype(np.float32),
        "variance": before.var(axis=(0, 2, 3)).astype(np.float32),
        "gain": ones,
        "bias": 0 * ones,
        "head": random.normal(0, 1, (8, 4)).astype(np.float32),
    }
    first = "turned" if "NHWC" in form else "x"
    turn = [helper.make_node("Transpose", ["x"], ["turned"], perm=[0, 3, 1, 2])] if "NHWC" in form else []
    norm = [helper.make_node("BatchNormalization", ["c", "gain", "bias", "mean", "variance"], ["n"])]
    nodes = [
        *turn,
        helper.make_node("Conv", [first, "w"], ["c"]),
        *(norm if normalised else [helper.make_node("Identity", ["c"], ["n"])]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "head"], ["y"]),
    ]
    used = weights if normalised else {"w": weight, "head": weights["head"]}
    sizes = ["N", 32, 32, 3] if "NHWC" in form else ["N", 3, 32, 32]
    return model_of(nodes, used, {"x": sizes}, {"y": ["N", 4]}).SerializeToString()


def images_for(form: str, count: int, seed: int, fault: str = "") -> Dataset:
    """Return images in the form a stand-in takes, with a fault planted before."""
    change, _ = FAULTS.get(fault, (lambda x: x, set()))
    images = smooth_images(count, seed) / (255 if "unit" in form else 1)
    if fault == "reshaped" and "NCHW" in form:
        x = images.reshape(count, 3, 32, 32)
    else:
        x = change(images)
        x = x.transpose(0, 3, 1, 2) if "NCHW" in form else x
    return Dataset({"x": np.ascontiguousarray(x, np.float32)}, None, f"{seed}.npz")


FORMS = ["NHWC raw", "NCHW raw", "NHWC unit", "NCHW unit"]


@pytest.mark.parametrize("form", FORMS)
def test_statistics_of_a_batch_normalisation_find_every_fault(form: str) -> None:
    """Without labels or training, from running mean and variance alone; and nothing is found where nothing is wrong."""
    model = stand_in(form)
    evaluation = images_for(form, 120, 3)
    assert codes(model, images_for(form, 100, 2), evaluation) == set()
    for fault, (_, expected) in FAULTS.items():
        bad = images_for(form, 100, 2, fault)
        assert codes(model, bad, evaluation) == expected, fault
        assert codes(model, bad) == expected, fault


@pytest.mark.parametrize("form", FORMS)
def test_a_model_without_a_say_leaves_the_difference_of_both_sets(form: str) -> None:
    """No statistics, no probabilities, no labels: one set alone is not judged, two that differ are."""
    model = stand_in(form, normalised=False)
    evaluation = images_for(form, 250, 3)
    assert codes(model, images_for(form, 250, 2), evaluation) == set()
    for fault in ("too small", "too large", "bgr", "reshaped"):
        assert codes(model, images_for(form, 250, 2, fault), evaluation) == FAULTS[fault][1], fault
    assert codes(model, images_for(form, 250, 2, "bgr")) == set()


def _rows(count: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 1, (count, 8)).astype(np.float32)


def _table(x: NDArray[Any], source: str = "t.npz") -> Dataset:
    return Dataset({"x": np.asarray(x, np.float32)}, None, source)


def test_samples_in_both_sets_are_a_leak() -> None:
    """A tenth of the smaller set is told, with numbers; a few that meet by chance are not; one object is one set."""
    data, ours, theirs = mlp().SerializeToString(), _rows(100, 0), _rows(300, 1)
    shared = np.concatenate([theirs, ours[:20]])
    (found,) = lint(data, _table(ours, "c.npz"), _table(shared, "e.npz"))
    assert found.code == "L-LEAK"
    assert "20 samples" in found.what
    assert codes(data, _table(ours), _table(np.concatenate([theirs, ours[:5]]))) == set()
    assert codes(data, _table(ours), _table(ours.copy())) == {"L-LEAK"}
    one = _table(ours)
    assert codes(data, one, one) == set()


def test_values_that_repeat_by_nature_are_no_copies() -> None:
    """Tables of a few categories, and a silence that comes again and again, say nothing about reading files twice."""
    data = mlp().SerializeToString()
    categories = np.random.default_rng(0).integers(0, 2, (200, 8))
    assert codes(data, _table(categories[:100]), _table(categories[100:])) == set()
    quiet, quiet_too = _rows(100, 0), _rows(100, 1)
    quiet[:15] = quiet_too[:15] = quiet[0]
    assert codes(data, _table(quiet), _table(quiet_too)) == set()


def test_nan_is_refused_on_loading_and_named_in_arrays(tmp_path: Path) -> None:
    """A file with NaN never becomes a dataset; one made from arrays is told, and not run."""
    x = _rows(50, 0)
    x[7, 3] = np.nan
    np.savez(tmp_path / "d.npz", x=x)
    (tmp_path / "m.onnx").write_bytes(mlp().SerializeToString())
    with pytest.raises(BadInput) as caught:
        load_dataset(str(tmp_path / "d.npz"), load_model(tmp_path / "m.onnx").inputs, Preprocess())
    assert caught.value.code == "E-DATA-NOT-FINITE"
    (found,) = lint(mlp().SerializeToString(), _table(x), None)
    assert found.code == "L-NOT-FINITE"
    assert "1 of 50" in found.what


def test_nan_that_the_model_computes_is_named() -> None:
    """Finite samples whose square root is none."""
    root = model_of([helper.make_node("Sqrt", ["x"], ["y"])], {}, {"x": ["N", 8]}, {"y": ["N", 8]})
    (found,) = lint(root.SerializeToString(), _table(_rows(50, 0)), None)
    assert found.code == "L-NOT-FINITE"
    assert "computes NaN in y" in found.what


def test_no_data_give_no_finding() -> None:
    """There is nothing to say about nothing."""
    assert lint(mlp().SerializeToString(), None, None) == ()


def test_data_on_disk_are_judged_like_those_in_memory(tmp_path: Path) -> None:
    """The same findings, and the fixes repair: applied to the samples, they leave none."""
    (tmp_path / "m.onnx").write_bytes(stand_in("NCHW unit"))
    model = load_model(tmp_path / "m.onnx")
    bad = smooth_images(100, 2).transpose(0, 3, 1, 2)[:, ::-1]
    np.savez(tmp_path / "bad.npz", x=bad)
    np.savez(tmp_path / "good.npz", x=bad[:, ::-1])
    sets = [load_dataset(str(tmp_path / "bad.npz"), model.inputs, Preprocess(), size) for size in (0, 10**9)]
    first, second = (lint(model.data, data, None) for data in sets)
    assert first == second
    assert [finding.code for finding in first] == ["L-SCALE", "L-CHANNEL-ORDER"]
    assert "--scale 0.00392157" in first[0].fix
    assert "x[:, ::-1]" in first[1].fix
    repaired = load_dataset(str(tmp_path / "good.npz"), model.inputs, Preprocess(scale=0.00392157))
    assert lint(model.data, repaired, None) == ()


def test_the_layout_line_repairs_the_layout() -> None:
    """The numpy expression in the fix, evaluated, gives back the images."""
    for form in ("NHWC raw", "NCHW raw"):
        good, bad = images_for(form, 60, 2), images_for(form, 60, 2, "reshaped")
        (found,) = lint(stand_in(form), bad, None)
        expression = re.search(r"x=(x\.reshape.*?\)\.transpose\(.*?\))", found.fix)
        assert expression, found.fix
        line = expression.group(1)
        repaired = eval(line, {"x": bad.feeds["x"][:]})  # noqa: S307 - our own fix
        np.testing.assert_array_equal(repaired, good.feeds["x"][:])


def test_page_and_code_name_the_same_findings() -> None:
    """docs/lint.md has one row for each code that can be found, and no other."""
    page = (ROOT / "docs/lint.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(L-[A-Z-]+)` \|", page, re.MULTILINE)
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "optimizer/lint").glob("*.py"))
    assert sorted(rows) == sorted(set(re.findall(r'^ +"(L-[A-Z-]+)",$', source, re.MULTILINE)))
