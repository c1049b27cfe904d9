"""Raw windows in, features out: as datasets for calibration and evaluation, and as what is refused."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from models import model_of
from onnx import helper

from benchmarks.latency import Plan
from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array, Tensor
from edge_runtime.inference.feature_kinds import BandEnergy, Kurtosis, Mean, Peak, Rms, Skewness
from edge_runtime.inference.features import Features
from edge_runtime.inference.preprocess import Preprocess
from edge_runtime.package.serving import load_for_serving
from optimizer import optimize
from optimizer.calibrate.observe import observe
from optimizer.calibrate.ranges import ranges_of
from optimizer.data import Dataset, dataset_from_arrays, load_dataset
from optimizer.executor import silent
from optimizer.feature_data import features_of_noise
from optimizer.request import Identity, Request

# As many features as readings: raw windows would fit into the model as well.
FEATURES = Features(4, (Mean(), Rms(), Peak(), BandEnergy(((0.0, 5.0),))), sample_rate=10.0)
PREPROCESS = Preprocess(scale=2.0, mean=(1.0, 2.0, 3.0, 4.0))
INPUTS = (Tensor("x", "float32", ("N", 4)),)
WINDOWS = np.random.default_rng(0).normal(3.0, 5.0, size=(50, 4, 1))
EXPECTED = PREPROCESS.apply(FEATURES.of(WINDOWS))


def stored(folder: Path, **arrays: Array) -> str:
    """Write an .npz and return its path."""
    np.savez(folder / "raw.npz", **arrays)
    return str(folder / "raw.npz")


def loaded(spec: str, in_memory: int = 2**20, features: Features = FEATURES) -> Dataset:
    """Return the dataset of features."""
    return load_dataset(spec, INPUTS, PREPROCESS, in_memory, features)


def dense() -> onnx.ModelProto:
    """Return a model of two dense layers, [N,4] -> [N,2]."""
    random = np.random.default_rng(2)
    weights = {
        "w": random.normal(size=(4, 32)).astype(np.float32),
        "v": random.normal(size=(32, 2)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["r"], "relu"),
        helper.make_node("MatMul", ["r", "v"], ["y"], "second"),
    ]
    return model_of(nodes, weights, {"x": ["N", 4]}, {"y": ["N", 2]})


@pytest.mark.parametrize("in_memory", [0, 1, 2**20])
@pytest.mark.parametrize("array", [WINDOWS, WINDOWS[..., 0], WINDOWS.astype(np.float32), WINDOWS.astype(np.int16)])
def test_the_feeds_are_preprocessed_features(tmp_path: Path, array: Array, in_memory: int) -> None:
    """In memory or computed slice by slice, with or without the axis of a single channel, of any numbers."""
    data = loaded(stored(tmp_path, x=array, y=np.arange(50)), in_memory)
    windows = array.reshape(50, 4, 1)
    np.testing.assert_array_equal(data.feeds["x"][0:50], PREPROCESS.apply(FEATURES.of(windows)))
    np.testing.assert_array_equal(data.feeds["x"][7:9], data.feeds["x"][0:50][7:9])
    assert data.raw is not None
    np.testing.assert_array_equal(data.raw.head(3)["x"], windows[:3].astype(np.float32))
    assert data.labels is not None
    assert len(data.first(5)) == len(data.first(5).labels) == 5  # type: ignore[arg-type]


@pytest.mark.parametrize("in_memory", [0, 2**20])
def test_another_process_gets_the_same_samples(tmp_path: Path, in_memory: int) -> None:
    """A dataset that is pickled, as workers get it, still holds features and not raw windows."""
    data = loaded(stored(tmp_path, x=WINDOWS), in_memory)
    again = pickle.loads(pickle.dumps(data))  # noqa: S301 - bytes of this very process
    np.testing.assert_array_equal(again.feeds["x"][0:50], EXPECTED)
    assert again.sha256 == data.sha256


def test_calibration_sees_the_features(tmp_path: Path) -> None:
    """The observed range of the model's input is the features'; that of raw windows, which would fit, is another."""
    data = loaded(stored(tmp_path, x=WINDOWS))
    seen = ranges_of(observe(dense().SerializeToString(), ["x"], data, silent), "minmax")["x"]
    assert seen == pytest.approx((EXPECTED.min(), EXPECTED.max()), rel=1e-6)
    raw = dataset_from_arrays({"x": WINDOWS[..., 0]}, None, INPUTS, PREPROCESS, "raw")
    other = ranges_of(observe(dense().SerializeToString(), ["x"], raw, silent), "minmax")["x"]
    assert other != pytest.approx(seen, rel=0.1)


def test_many_windows_are_computed_in_bounded_memory(tmp_path: Path) -> None:
    """33 MB of windows, 66 MB as they are computed with: all their features need a tenth of that at a time."""
    windows = np.lib.format.open_memmap(tmp_path / "raw.npy", "w+", np.float32, (4000, 2048, 1))
    windows[:] = np.random.default_rng(1).normal(size=(1, 2048, 1))
    del windows
    features = Features(2048, (Rms(), Kurtosis(), Skewness(), BandEnergy(((0.0, 5.0),))), sample_rate=10.0)
    tracemalloc.start()
    data = loaded(str(tmp_path / "raw.npy"), 2**20, features)
    assert data.feeds["x"][0:4000].shape == (4000, 4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6_600_000


@pytest.mark.parametrize(
    ("array", "code"),
    [
        (np.zeros((5, 3, 1)), "E-DATA-SHAPE"),
        (np.zeros((5, 4, 2)), "E-DATA-SHAPE"),
        (np.zeros(5), "E-DATA-SHAPE"),
        (np.zeros((5, 4), np.complex64), "E-DATA-DTYPE"),
        (np.full((5, 4), "1"), "E-DATA-DTYPE"),
        (np.zeros((0, 4)), "E-DATA-EMPTY"),
        (np.where(np.arange(20) == 13, np.nan, 0).reshape(5, 4), "E-DATA-NOT-FINITE"),
    ],
)
def test_windows_that_cannot_be_used_are_refused(tmp_path: Path, array: Array, code: str) -> None:
    """Each with the code of data that do not fit."""
    with pytest.raises(BadInput) as caught:
        loaded(stored(tmp_path, x=array))
    assert caught.value.code == code


def test_the_window_of_a_bad_reading_is_named(tmp_path: Path) -> None:
    """The sample that holds NaN is found though only its features are looked at."""
    windows = WINDOWS.copy()
    windows[31, 2] = np.nan
    with pytest.raises(BadInput, match="sample 31 holds NaN"):
        loaded(stored(tmp_path, x=windows))


def test_models_that_features_cannot_feed_are_refused(tmp_path: Path) -> None:
    """Several inputs, another number of features, an input of integers, another array's name."""
    spec = stored(tmp_path, x=WINDOWS)
    cases: list[tuple[tuple[Tensor, ...], str]] = [
        ((*INPUTS, Tensor("z", "float32", ("N", 4))), "E-FEATURES-INPUT"),
        ((Tensor("x", "float32", ("N", 5)),), "E-FEATURES-SHAPE"),
        ((Tensor("x", "int64", ("N", 4)),), "E-DATA-DTYPE"),
    ]
    for inputs, code in cases:
        with pytest.raises(BadInput) as caught:
            load_dataset(spec, inputs, Preprocess(), features=FEATURES)
        assert caught.value.code == code
    with pytest.raises(BadInput, match="no array x"):
        loaded(stored(tmp_path, other=WINDOWS))


def test_a_request_refuses_samples_made_with_other_features() -> None:
    """What was calibrated on one thing cannot be sealed with another."""
    plain = dataset_from_arrays({"x": WINDOWS[..., 0]}, None, INPUTS, Preprocess(), "raw")
    with pytest.raises(ValueError, match="not made with the features"):
        Request(calibration=plain, identity=Identity(features=FEATURES))


def test_without_data_noise_goes_through_the_features(tmp_path: Path) -> None:
    """The package's golden inputs are features of golden windows of noise, and it says that they are synthetic."""
    onnx.save_model(dense(), tmp_path / "dense.onnx")
    plan = Plan(rounds=6, slot_seconds=0.002, warmup_seconds=0.01)
    identity = Identity(features=FEATURES, preprocess=PREPROCESS)
    result = optimize(tmp_path / "dense.onnx", identity=identity, plan=plan, effort="quick", engine="onnxruntime")
    result.write(tmp_path / "dense.edgepkg")
    served = load_for_serving(tmp_path / "dense.edgepkg")
    assert served.manifest.golden.synthetic
    assert served.manifest.computed == FEATURES
    noise = features_of_noise(FEATURES, PREPROCESS, INPUTS, 1)["x"]
    assert noise.shape == (1, 4)


def test_arrays_from_python_become_features(tmp_path: Path) -> None:
    """`optimize` takes raw windows as arrays too, and seals features and windows."""
    onnx.save_model(dense(), tmp_path / "dense.onnx")
    plan = Plan(rounds=6, slot_seconds=0.002, warmup_seconds=0.01)
    identity = Identity(features=FEATURES, preprocess=PREPROCESS)
    data = {"x": WINDOWS, "y": np.arange(50) % 2}
    result = optimize(tmp_path / "dense.onnx", data, identity=identity, plan=plan, engine="onnxruntime", effort="quick")
    result.write(tmp_path / "dense.edgepkg")
    assert load_for_serving(tmp_path / "dense.edgepkg").golden.samples == 16
