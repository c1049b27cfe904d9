"""The load test's models and readings: valid ONNX, of the size that they say, and the same every time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.load import models
from edge_runtime.inference.ort import OrtEngine
from edge_runtime.package import archive


@pytest.mark.parametrize(
    ("model", "parameters", "shape"), [(models.mlp(), 161, ("N", 8)), (models.cnn(), 93697, ("N", 8, 64))]
)
def test_onnx_itself_finds_no_fault(model: bytes, parameters: int, shape: tuple[int | str, ...]) -> None:
    """The checker, shape inference included, accepts what was written by hand."""
    found = onnx.ModelProto.FromString(model)
    onnx.checker.check_model(found, full_check=True)
    assert sum(int(np.prod(tensor.dims)) for tensor in found.graph.initializer) == parameters
    assert OrtEngine(model).inputs[0].shape == shape


def test_the_mlp_computes_what_its_weights_say() -> None:
    """Two dense layers with a rectifier between, worked out in numpy."""
    model = models.mlp()
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.ModelProto.FromString(model).graph.initializer}
    rows = models.rows(20)
    hidden = np.maximum(rows @ weights["w1"] + weights["b1"], 0)
    expected = hidden @ weights["w2"] + weights["b2"]
    np.testing.assert_allclose(OrtEngine(model).run({"reading": rows})["value"], expected, rtol=1e-5, atol=1e-5)


def test_readings_are_149_bytes_and_hold_the_rows() -> None:
    """What is sent as text is, number for number, what the rows say."""
    readings = models.readings(30)
    assert {len(one) for one in readings} == {models.PAYLOAD_BYTES}
    assert len(set(readings)) == 30
    parsed = [[json.loads(one)[f"v{index}"] for index in range(8)] for one in readings]
    np.testing.assert_array_equal(np.array(parsed, np.float32), models.rows(30))
    assert models.readings(30) == readings


def test_the_package_is_one_that_is_served(tmp_path: Path) -> None:
    """It reads back, and holds the model as it is."""
    models.write_package(tmp_path / "load.edgepkg", models.cnn(), "load")
    package = archive.read(tmp_path / "load.edgepkg")
    assert package.members["variants/fp32.onnx"] == models.cnn()
