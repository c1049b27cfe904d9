"""From raw windows in a file to what the daemon's pipeline predicts: the features are the same all the way."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import scipy.signal
import scipy.stats
from commands import run
from models import model_of
from onnx import helper

from edge_runtime.assemble import assemble
from edge_runtime.config_options import PipelineConfig, Source, WindowConfig
from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array
from edge_runtime.inference.postprocess import Argmax
from edge_runtime.package import archive, golden
from edge_runtime.stream.gatherer import Arrival

RATE, SIZE = 12_000.0, 256
BANDS = [(0.0, 1000.0), (1000.0, 3000.0), (3000.0, 6000.0)]
DECLARED = f"""
size = {SIZE}            # readings in a window
sample_rate = {RATE:g}   # Hz
compute = [
  {{ kind = "rms" }},
  {{ kind = "kurtosis" }},
  {{ kind = "band_energy", bands = {json.dumps(BANDS)} }},
]
"""
MEAN, STD = (1.0, 0.5, 0.2, 0.3, 0.4), (0.5, 2.0, 0.5, 0.25, 1.0)
OPTIONS = (
    *("--features", "features.toml", "--mean", ",".join(map(str, MEAN)), "--std", ",".join(map(str, STD))),
    *("--metric", "top1", "--max-drop", "1pt", "--effort", "quick", "--engine", "onnxruntime", "--no-cache"),
)


def windows(count: int, seed: int) -> tuple[Array, Array]:
    """Return raw windows of sound machines and of such with impacts, float64 [count, SIZE], and which are which."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    signals = np.sin(np.arange(SIZE) * random.uniform(0.1, 0.3, (count, 1))) + random.normal(0, 0.3, (count, SIZE))
    for index in np.flatnonzero(labels):
        signals[index, random.integers(0, SIZE, 4)] += 6.0
    return signals, labels


def reference(signals: Array) -> Array:
    """Return the preprocessed features by numpy and scipy alone."""
    lines, power = scipy.signal.periodogram(signals, RATE, "hann")
    energies = [
        power[:, (lines >= low) & ((lines < high) | (high == RATE / 2))].sum(axis=1) * RATE / SIZE
        for low, high in BANDS
    ]
    columns = [np.sqrt(np.mean(signals**2, axis=1)), scipy.stats.kurtosis(signals, axis=1), *energies]
    return (np.stack(columns, axis=1) - MEAN) / STD


def classifier() -> tuple[onnx.ModelProto, Array, Array]:
    """Return a model that a person wrote: impacts where kurtosis is large; and its weights."""
    weight = np.random.default_rng(5).normal(0, 0.05, (5, 2)).astype(np.float32)
    weight[1] += [-2.0, 2.0]
    bias = np.array([0.5, -0.5], np.float32)
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], "dense")
    return model_of([node], {"w": weight, "b": bias}, {"x": ["N", 5]}, {"y": ["N", 2]}), weight, bias


@dataclass(frozen=True)
class Made:
    """A folder with a package, and what was said when it was made."""

    folder: Path
    said: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Quantize the classifier with features, as a user would."""
    folder = tmp_path_factory.mktemp("features")
    onnx.save_model(classifier()[0], folder / "impacts.onnx")
    (folder / "features.toml").write_text(DECLARED, encoding="utf-8")
    for name, seed in (("calib", 1), ("test", 2)):
        raw, labels = windows(120, seed)
        np.savez(folder / f"{name}.npz", x=raw, y=labels)
    done = run(
        *("quantize", "impacts.onnx", "--calibration", "calib.npz", "--evaluation", "test.npz", *OPTIONS), folder=folder
    )
    assert done.returncode == 0, done.stderr
    return Made(folder, done.stdout)


def pipeline(window: WindowConfig | None = None, fields: tuple[str, ...] = ("a",)) -> PipelineConfig:
    """Return a pipeline on that package."""
    source = Source(topic="plant/{stream}/vibration", fields=fields)
    window = window or WindowConfig(size=SIZE, hop=SIZE)
    return PipelineConfig("impacts", "impacts.edgepkg", source, window, Argmax(labels=("sound", "impacts")))


def test_the_package_holds_features_raw_windows_and_their_inputs(made: Made) -> None:
    """Format 2, the declaration, the first evaluation windows as float32, and what the reference computes of them."""
    package = archive.read(made.folder / "impacts.edgepkg")
    assert package.manifest.format == 2
    assert package.manifest.computed is not None
    assert package.manifest.computed.shape == (5,)
    held, inputs = golden.windows_and_inputs(package.members["golden.npz"])
    raw, _ = windows(120, 2)
    np.testing.assert_array_equal(held["x"][..., 0], raw[:16].astype(np.float32))
    np.testing.assert_allclose(inputs["x"], reference(raw[:16]), rtol=1e-4, atol=1e-5)


def test_the_metric_was_computed_on_features(made: Made) -> None:
    """The score in the manifest is the reference's: its answers on features by numpy against the labels."""
    raw, labels = windows(120, 2)
    _, weight, bias = classifier()
    expected = float(((reference(raw) @ weight + bias).argmax(axis=1) == labels).mean())
    accuracy = archive.read(made.folder / "impacts.edgepkg").manifest.variants[0].accuracy
    assert accuracy is not None
    assert accuracy.reference == pytest.approx(expected)
    assert accuracy.value >= 0.99 > 0.9 * expected


def test_the_daemons_pipeline_predicts_what_numpy_computes(made: Made) -> None:
    """Readings one by one, as JSON, through window, features and model: scores and labels of the reference."""
    whole = assemble(pipeline(), made.folder, {})
    raw, labels = windows(6, 9)
    _, weight, bias = classifier()
    expected = reference(raw) @ weight + bias
    tolerance = 1e-4 if whole.served.variant.name == "fp32" else 0.2
    payloads = [json.dumps({"a": value}).encode() for value in raw.ravel()]
    due = whole.pipeline.gatherer.take([Arrival("press", payload, 0.0) for payload in payloads], 0.0).due
    scores = whole.pipeline.predictor.infer(np.stack([one.array for one in due]))
    np.testing.assert_allclose(scores, expected, rtol=tolerance, atol=tolerance)
    said = [outcome.label for outcome in whole.pipeline.predictor.predict(due) if outcome]
    assert said == [("sound", "impacts")[label] for label in labels]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (pipeline(WindowConfig(size=128)), "128 readings x 1 numbers"),
        (pipeline(fields=("a", "b")), "256 readings x 2 numbers"),
        (pipeline(WindowConfig(size=SIZE, layout="features_first")), "features_first"),
    ],
)
def test_a_window_that_the_features_are_not_for_is_refused(made: Made, config: PipelineConfig, words: str) -> None:
    """Another size, more channels or a turned window: the fix says what to set."""
    with pytest.raises(BadInput, match=words) as caught:
        assemble(config, made.folder, {})
    assert caught.value.code == "E-PIPELINE-SHAPE"
    for setting in ("window.size = 256", 'window.layout = "time_first"', "1 number", "12000 times a second"):
        assert setting in caught.value.fix


def test_inspect_and_verify_know_the_features(made: Made) -> None:
    """The one shows them, the other computes them of raw evaluation windows."""
    shown = run("inspect", "impacts.edgepkg", folder=made.folder)
    assert shown.returncode == 0, shown.stderr
    assert "256 readings x 1 at 12000 Hz -> [5]: rms, kurtosis, band_energy" in shown.stdout
    verified = run("verify", "impacts.edgepkg", "--evaluation", "test.npz", "--metric", "top1", folder=made.folder)
    assert verified.returncode == 0, verified.stderr


def test_a_reader_of_format_1_is_told_to_upgrade(made: Made) -> None:
    """What an older reader checks first, the format number, is not the one it knows."""

    class Header(msgspec.Struct):
        format: int

    text = archive.stored_zip.unpack((made.folder / "impacts.edgepkg").read_bytes())["manifest.json"]
    assert msgspec.json.decode(text, type=Header).format == 2


def test_data_that_are_features_already_are_refused(made: Made) -> None:
    """--features says that the data are raw windows; five numbers a sample are none."""
    np.savez(made.folder / "five.npz", x=np.zeros((20, 5)))
    done = run("quantize", "impacts.onnx", "--calibration", "five.npz", *OPTIONS, folder=made.folder)
    assert done.returncode == 3
    assert "E-DATA-SHAPE" in done.stderr
    assert "256 readings x 1 channels" in done.stderr
