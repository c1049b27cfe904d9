"""Models above 2 GiB: made small while they are read, in bounded memory, or refused before that."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from models import FLOAT, images, residual_convnet
from onnx import helper, numpy_helper

from benchmarks.latency import Plan
from edge_runtime.errors import BadInput
from edge_runtime.inference.ort import OrtEngine, SessionSettings
from edge_runtime.package import archive
from optimizer import load, load_large
from optimizer.data import Dataset
from optimizer.flow import optimize
from optimizer.metrics import find
from optimizer.quantize import quantize
from optimizer.recipe import Recipe
from optimizer.request import Request
from optimizer.schemes import Int8Weights

WIDTH = 8192  # a layer of WIDTH x WIDTH float32 is 256 MiB
ROOM = 6 << 30


def _outside(name: str, file: str, dims: tuple[int, ...], offset: int) -> onnx.TensorProto:
    tensor = onnx.TensorProto(name=name, data_type=FLOAT, dims=dims, data_location=onnx.TensorProto.EXTERNAL)
    size = int(np.prod(dims)) * 4
    for key, value in (("location", file), ("offset", str(offset)), ("length", str(size))):
        tensor.external_data.add(key=key, value=value)
    return tensor


def _large_model(path: Path, layers: int, gather: bool = False) -> None:
    """Write a chain of wide MatMuls whose weights are said to lie in weights.bin, which is not written here."""
    nodes = [helper.make_node("Gather", [f"w{i}", "index"], [f"g{i}"], f"gather{i}") for i in range(layers) if gather]
    names = ["x", *(f"h{i}" for i in range(layers - 1)), "y"]
    if not gather:
        nodes = [helper.make_node("MatMul", [names[i], f"w{i}"], [names[i + 1]], f"dense{i}") for i in range(layers)]
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("x", FLOAT, ["N", WIDTH])],
        [helper.make_tensor_value_info("g0" if gather else "y", FLOAT, None if gather else ["N", WIDTH])],
        [_outside(f"w{i}", "weights.bin", (WIDTH, WIDTH), i * WIDTH * WIDTH * 4) for i in range(layers)],
    )
    if gather:
        graph.initializer.append(numpy_helper.from_array(np.array([0]), "index"))
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )


def _write_weights(file: Path, layers: int) -> None:
    """Write matrices that pass the first 16 numbers on with a seeded sign; the rest of the file is a hole of zeros."""
    random = np.random.default_rng(0)
    with file.open("wb") as stream:
        stream.truncate(layers * WIDTH * WIDTH * 4)
        for layer in range(layers):
            for row in range(16):
                stream.seek((layer * WIDTH * WIDTH + row * WIDTH + row) * 4)
                stream.write(np.float32(random.choice([-1.0, 1.0])).tobytes())


SCRIPT = """
import json, resource, sys
from pathlib import Path
import numpy as np
from edge_runtime.inference.ort import OrtEngine, SessionSettings
from optimizer.load import load_model
from optimizer.load_large import SESSION
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model = load_model(Path(sys.argv[1]))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
x = np.arange(8192, dtype=np.float32)[None] / 8192
y = OrtEngine(model.data, SessionSettings(config=SESSION)).run({"x": x})["y"]
print(json.dumps({"base": base, "peak": peak, "bytes": len(model.data), "files": model.file_bytes,
                  "same": bool(np.allclose(np.abs(y)[:, :16], x[:, :16], atol=1e-5)), "reduced": model.reduced_from}))
"""


def test_two_and_a_half_gigabytes_in_bounded_memory(tmp_path: Path) -> None:
    """Ten layers of 256 MiB become 640 MiB of int8; it takes 3.5 times that, less than the float32 weights alone."""
    if shutil.disk_usage(tmp_path).free < ROOM:
        pytest.skip("needs 6 GB of free disk for a model above 2 GiB")
    _large_model(tmp_path / "model.onnx", 10)
    _write_weights(tmp_path / "weights.bin", 10)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "model.onnx")]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    (tmp_path / "weights.bin").unlink()
    assert found["files"] > 2_500_000_000
    assert found["bytes"] < found["files"] / 3.9
    assert found["same"]
    assert found["reduced"]
    assert (found["peak"] - found["base"]) * 1024 < 3.6 * found["bytes"]


@pytest.mark.parametrize("block", [64, 1 << 25])
def test_the_result_is_the_weight_only_form(tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block by block or whole, a model computes what `Int8Weights` of the same model computes."""
    monkeypatch.setattr(load_large, "_BLOCK_BYTES", block)
    monkeypatch.setattr(load_large, "_KEPT_BYTES", block)
    path = tmp_path / "net.onnx"
    onnx.save_model(residual_convnet(), path, save_as_external_data=True, size_threshold=0, location="weights.bin")
    model = onnx.load(path, load_external_data=False)
    load_large.reduce(path, model, 17)
    settings = SessionSettings(config=Int8Weights().session)
    whole = quantize(residual_convnet().SerializeToString(), Recipe(Int8Weights()), {})
    expected = OrtEngine(whole, settings).run({"x": images(4)})["y"]
    np.testing.assert_array_equal(OrtEngine(model.SerializeToString(), settings).run({"x": images(4)})["y"], expected)


def test_a_large_model_becomes_a_package_that_says_what_is_unverified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flow goes on with the int8 weights: named, never judged against itself, and sealed with the files' digest."""
    path = tmp_path / "net.onnx"
    onnx.save_model(residual_convnet(), path, save_as_external_data=True, size_threshold=0, location="weights.bin")
    monkeypatch.setattr(load, "MAX_MODEL_BYTES", path.stat().st_size + 1000)
    loaded = load.load_model(path)
    assert loaded.sha256 == load_large.digest([path, tmp_path / "weights.bin"])
    samples = Dataset({"x": images(8)}, np.arange(8) % 4, "test.npz")
    result = optimize(loaded, Request(None, samples, find("top1"), plan=Plan(rounds=6, slot_seconds=0.001)))
    assert result.chosen.scheme is not None
    assert result.chosen.accuracy is None
    assert any("UNVERIFIED" in warning for warning in result.warnings)
    result.write(tmp_path / "net.edgepkg")
    assert archive.read(tmp_path / "net.edgepkg").manifest.source.model_sha256 == loaded.sha256


def test_what_stays_too_large_is_refused_before_a_weight_is_read(tmp_path: Path) -> None:
    """Tables that are only looked up stay float32: 2.5 GB of them are refused, though no byte of them is there."""
    _large_model(tmp_path / "model.onnx", 10, gather=True)
    with (tmp_path / "weights.bin").open("wb") as stream:
        stream.truncate(10 * WIDTH * WIDTH * 4)
    with pytest.raises(BadInput, match=r"would still hold 2\.68 GB") as caught:
        load.load_model(tmp_path / "model.onnx")
    assert caught.value.code == "E-MODEL-TOO-LARGE"


def test_extents_are_held_against_the_files(tmp_path: Path) -> None:
    """A large model whose file is shorter than its tensors say is told so before anything is read."""
    _large_model(tmp_path / "model.onnx", 10)
    with (tmp_path / "weights.bin").open("wb") as stream:
        stream.truncate(10 * WIDTH * WIDTH * 4 - 1)
    with pytest.raises(BadInput, match="w9") as caught:
        load.load_model(tmp_path / "model.onnx")
    assert caught.value.code == "E-MODEL-EXTERNAL-DATA"
