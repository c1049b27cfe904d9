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
from models import FLOAT, residual_convnet
from onnx import helper

from edge_runtime.errors import BadInput
from edge_runtime.inference.ort import OrtEngine
from optimizer import load_large
from optimizer.quantize import quantize
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
        graph.initializer.append(onnx.numpy_helper.from_array(np.array([0]), "index"))
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
from edge_runtime.inference.ort import OrtEngine
from optimizer.load import load_model
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model = load_model(Path(sys.argv[1]))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
x = np.arange(8192, dtype=np.float32)[None] / 8192
y = OrtEngine(model.data).run({"x": x})["y"]
print(json.dumps({"base": base, "peak": peak, "bytes": len(model.data), "files": model.file_bytes,
                  "same": bool(np.allclose(np.abs(y)[:, :16], x[:, :16], atol=1e-5)), "reduced": model.reduced_from}))
"""


def test_two_and_a_half_gigabytes_in_bounded_memory(tmp_path: Path) -> None:
    """Ten layers of 256 MiB become 640 MiB of int8, in less memory than the float32 weights alone."""
    if shutil.disk_usage(tmp_path).free < ROOM:
        pytest.skip("needs 6 GB of free disk for a model above 2 GiB")
    _large_model(tmp_path / "model.onnx", 10)
    _write_weights(tmp_path / "weights.bin", 10)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "model.onnx")]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    (tmp_path / "weights.bin").unlink()
    print(found)
    assert found["files"] > 2_500_000_000
    assert found["bytes"] < found["files"] / 3.9
    assert found["same"]
    assert found["reduced"]
    assert (found["peak"] - found["base"]) * 1024 < 2_300_000_000
