"""Models in: what is accepted, and what each kind of unusable file is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from models import mlp, residual_convnet, tree

from edge_runtime.errors import BadInput
from edge_runtime.inference.ort import OrtEngine
from optimizer.load import load_model


def _save_with_external_data(path: Path) -> None:
    onnx.save_model(mlp(), path, save_as_external_data=True, size_threshold=0, location="weights.bin")


def test_a_good_model_is_described(tmp_path: Path) -> None:
    """Inputs, outputs, opset, operators and the number of quantizable weights are read."""
    path = tmp_path / "net.onnx"
    onnx.save_model(residual_convnet(), path)
    model = load_model(path)
    assert [str(tensor) for tensor in model.inputs] == ["x: float32[N, 3, 16, 16]"]
    assert (model.opset, model.weights, model.already_quantized) == (17, 3, ())
    assert model.operators["Conv"] == 2
    assert model.file_bytes == path.stat().st_size


def test_weights_in_constant_nodes_count_as_quantizable(tmp_path: Path) -> None:
    """Exporters that write weights as Constant nodes get the same answer as those that use initializers."""
    model = mlp()
    constants = [onnx.helper.make_node("Constant", [], [item.name], value=item) for item in model.graph.initializer]
    del model.graph.initializer[:]
    for node in constants:
        model.graph.node.insert(0, node)
    path = tmp_path / "constants.onnx"
    onnx.save_model(model, path)
    assert load_model(path).weights == 2


def test_external_data_is_read_into_the_model(tmp_path: Path) -> None:
    """A model with its weights beside it becomes self-contained bytes that compute the same."""
    path = tmp_path / "outside.onnx"
    _save_with_external_data(path)
    model = load_model(path)
    assert model.file_bytes == path.stat().st_size + (tmp_path / "weights.bin").stat().st_size
    x = np.ones((2, 8), np.float32)
    expected = OrtEngine(mlp().SerializeToString()).run({"x": x})["y"]
    np.testing.assert_array_equal(OrtEngine(model.data).run({"x": x})["y"], expected)


def _text(path: Path) -> None:
    path.write_text("this is a README, not a model\n" * 20)


def _html(path: Path) -> None:
    path.write_text("<!DOCTYPE html><html><body>404</body></html>")


def _lfs_pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _truncated(path: Path) -> None:
    path.write_bytes(residual_convnet().SerializeToString()[:-500])


def _truncated_early(path: Path) -> None:
    path.write_bytes(residual_convnet().SerializeToString()[:3])


def _external_missing(path: Path) -> None:
    _save_with_external_data(path)
    (path.parent / "weights.bin").unlink()


def _external_truncated(path: Path) -> None:
    _save_with_external_data(path)
    (path.parent / "weights.bin").write_bytes(b"\0" * 8)


def _opset_from_the_future(path: Path) -> None:
    model = mlp()
    model.opset_import[0].version = 999
    path.write_bytes(model.SerializeToString())


def _unknown_operator(path: Path) -> None:
    model = mlp()
    model.graph.node[0].op_type = "Frobnicate"
    path.write_bytes(model.SerializeToString())


def _custom_domain(path: Path) -> None:
    model = mlp()
    model.graph.node[0].op_type, model.graph.node[0].domain = "Fuse", "com.acme"
    model.opset_import.append(onnx.helper.make_opsetid("com.acme", 1))
    path.write_bytes(model.SerializeToString())


def _external_at(path: Path, location: str) -> None:
    _save_with_external_data(path)
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = location
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (_text, "E-MODEL-NOT-ONNX"),
        (_html, "E-MODEL-NOT-ONNX"),
        (_lfs_pointer, "E-MODEL-NOT-ONNX"),
        (_empty, "E-MODEL-NOT-ONNX"),
        (_truncated, "E-MODEL-CORRUPT"),
        (_truncated_early, "E-MODEL-CORRUPT"),
        (_external_missing, "E-MODEL-EXTERNAL-DATA"),
        (_external_truncated, "E-MODEL-EXTERNAL-DATA"),
        (_opset_from_the_future, "E-MODEL-OPSET"),
        (_unknown_operator, "E-MODEL-LOAD"),
        (_custom_domain, "E-MODEL-LOAD"),
    ],
)
def test_unusable_files_are_told_apart(tmp_path: Path, make: Callable[[Path], None], code: str) -> None:
    """Each kind of unusable file has its own code, names the file and says what to do."""
    path = tmp_path / "model.onnx"
    make(path)
    with pytest.raises(BadInput) as caught:
        load_model(path)
    assert caught.value.code == code
    assert str(path) in caught.value.message
    assert caught.value.fix


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    """A path that does not exist has its own code."""
    with pytest.raises(BadInput, match="no file") as caught:
        load_model(tmp_path / "none.onnx")
    assert caught.value.code == "E-MODEL-NOT-FOUND"


@pytest.mark.parametrize("seed", range(30))
def test_damaged_models_never_raise_anything_else(tmp_path: Path, seed: int) -> None:
    """Random bytes changed in a model give a model or a BadInput, never another exception."""
    random = np.random.default_rng(seed)
    raw = bytearray(tree().SerializeToString() if seed % 2 else mlp().SerializeToString())
    for place in random.integers(0, len(raw), 3):
        raw[place] = random.integers(0, 256)
    path = tmp_path / "damaged.onnx"
    path.write_bytes(raw)
    codes = []
    try:
        load_model(path)
    except BadInput as error:
        codes.append(error.code)
    assert all(code.startswith("E-MODEL-") for code in codes)


@pytest.mark.parametrize("location", ["../weights.bin", "{folder}/weights.bin", "a/../../weights.bin", "", "link.bin"])
def test_external_data_stay_inside_the_models_folder(tmp_path: Path, location: str) -> None:
    """Absolute paths, `..` and links out of the folder are refused, though the file is there."""
    folder = tmp_path / "model"
    folder.mkdir()
    path = folder / "model.onnx"
    _external_at(path, location.format(folder=folder))
    (tmp_path / "weights.bin").write_bytes((folder / "weights.bin").read_bytes())
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(BadInput, match="inside its folder") as caught:
        load_model(path)
    assert caught.value.code == "E-MODEL-EXTERNAL-DATA"


@pytest.mark.parametrize(("make", "said"), [(_custom_domain, "com.acme::Fuse"), (_unknown_operator, "ai.onnx::Frob")])
def test_unknown_operators_are_named(tmp_path: Path, make: Callable[[Path], None], said: str) -> None:
    """The error names domain and operator, which is what must be exported in another way."""
    path = tmp_path / "model.onnx"
    make(path)
    with pytest.raises(BadInput, match=said):
        load_model(path)


def test_functions_are_written_out(tmp_path: Path) -> None:
    """A model whose layers are functions of its own shows and computes the operators inside."""
    body = [onnx.helper.make_node("MatMul", ["a", "b"], ["m"]), onnx.helper.make_node("Relu", ["m"], ["r"])]
    function = onnx.helper.make_function(
        "local", "Dense", ["a", "b"], ["r"], body, [onnx.helper.make_opsetid("", 17)], []
    )
    model = mlp()
    dense = onnx.helper.make_node("Dense", ["x", "w1"], ["r"], "dense", domain="local")
    del model.graph.node[:2]
    model.graph.node.insert(0, dense)
    model.functions.append(function)
    model.opset_import.append(onnx.helper.make_opsetid("local", 1))
    path = tmp_path / "functions.onnx"
    onnx.save_model(model, path)
    loaded = load_model(path)
    assert (loaded.operators, loaded.weights) == ({"MatMul": 2, "Relu": 1}, 2)
    x = np.ones((2, 8), np.float32)
    expected = OrtEngine(mlp().SerializeToString()).run({"x": x})["y"]
    np.testing.assert_array_equal(OrtEngine(loaded.data).run({"x": x})["y"], expected)
