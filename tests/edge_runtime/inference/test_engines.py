"""The contract of engine.py, held by every engine that is installed, on the same models."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from zoo import ZOO, feeds_for

from benchmarks.inputs import synthetic_feeds
from edge_runtime.errors import BadInput
from edge_runtime.inference import engines
from edge_runtime.inference.engine import Array, Engine
from edge_runtime.inference.ort import OrtEngine, SessionSettings

INSTALLED = [name for name, reason in engines.available().items() if reason is None]
each_engine = pytest.mark.parametrize("name", INSTALLED)

FLOAT, INT64, UINT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8
Ends = Sequence[tuple[str, int, Sequence[int | str]]]


def made(nodes: Sequence[tuple[str, list[str], list[str]]], inputs: Ends, outputs: Ends) -> bytes:
    """Return a model of (operator, inputs, outputs) nodes."""
    infos = [[helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in ends] for ends in
             (inputs, outputs)]  # fmt: skip
    graph = helper.make_graph([helper.make_node(*node) for node in nodes], "made", *infos)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return onnx.ModelProto.SerializeToString(model)


def several() -> bytes:
    """Return a model with two inputs and four outputs, one of them twice under two names, one an input itself."""
    return made(
        [
            ("Add", ["b", "a"], ["sum"]),
            ("Identity", ["sum"], ["again"]),
            ("Identity", ["a"], ["same"]),
            ("Sub", ["b", "a"], ["difference"]),
        ],
        [("b", FLOAT, ["N", 3]), ("a", FLOAT, ["N", 3])],
        [(name, FLOAT, ["N", 3]) for name in ("difference", "again", "sum", "same")],
    )


def relu(shape: Sequence[int | str] = ("N", 2)) -> bytes:
    """Return the smallest model."""
    return made([("Relu", ["x"], ["y"])], [("x", FLOAT, shape)], [("y", FLOAT, shape)])


def loaded(name: str, model: bytes, threads: int = 1) -> Engine:
    """Return the model loaded by the engine of this name."""
    return engines.load(name, model, SessionSettings(threads))


def decibels(outputs: dict[str, Array], expected: dict[str, Array]) -> float:
    """Return the signal-to-noise ratio of the output that is worst off."""
    ratios = []
    for name, wanted in expected.items():
        noise = float(np.mean((outputs[name].astype(np.float64) - wanted) ** 2))
        ratios.append(10 * np.log10(max(float(np.mean(wanted.astype(np.float64) ** 2)), 1e-20) / max(noise, 1e-20)))
    return min(ratios)


@each_engine
@pytest.mark.parametrize("model", sorted(ZOO))
def test_the_same_model_gives_the_same_answers_in_every_engine(name: str, model: str) -> None:
    """Names, order, types and shapes are the ONNX file's, and float32 outputs agree with onnxruntime's."""
    proto = ZOO[model]()
    data = proto.SerializeToString()
    reference, engine = OrtEngine(data), loaded(name, data)
    assert [(one.name, one.dtype, len(one.shape)) for one in engine.inputs] == [
        (one.name, one.dtype, len(one.shape)) for one in reference.inputs
    ]
    assert [(one.name, one.dtype) for one in engine.outputs] == [(one.name, one.dtype) for one in reference.outputs]
    feeds = feeds_for(proto, 2)
    expected, outputs = reference.run(feeds), engine.run(feeds)
    assert list(outputs) == list(expected)
    assert {key: (array.dtype, array.shape) for key, array in outputs.items()} == {
        key: (array.dtype, array.shape) for key, array in expected.items()
    }
    assert decibels(outputs, expected) > 80


@each_engine
def test_inputs_and_outputs_keep_the_file_s_names_and_order(name: str) -> None:
    """Also where outputs are one tensor under two names, or an input handed through."""
    engine = loaded(name, several())
    assert [tensor.name for tensor in engine.inputs] == ["b", "a"]
    assert [tensor.name for tensor in engine.outputs] == ["difference", "again", "sum", "same"]
    feeds = {"a": np.full((2, 3), 1, np.float32), "b": np.full((2, 3), 5, np.float32)}
    outputs = engine.run(feeds)
    assert {key: float(array[1, 2]) for key, array in outputs.items()} == {
        "difference": 4.0, "again": 6.0, "sum": 6.0, "same": 1.0,
    }  # fmt: skip


@each_engine
def test_a_batch_may_have_any_size_each_time(name: str) -> None:
    """More different batch sizes than an engine could prepare itself for, there and back."""
    engine = loaded(name, relu())
    for size in (3, 1, 7, 2, 5, 4, 9, 1, 7, 3):
        batch = np.linspace(-1, 1, 2 * size, dtype=np.float32).reshape(size, 2)
        assert engine.run({"x": batch})["y"].tolist() == np.maximum(batch, 0).tolist()


@each_engine
def test_open_dimensions_other_than_the_batch_run(name: str) -> None:
    """Images of changing sizes, and outputs whose size depends on the values."""
    engine = loaded(name, relu(("N", "h", "w")))
    for shape in ((1, 2, 3), (2, 4, 1), (1, 2, 3)):
        assert engine.run({"x": np.full(shape, -1, np.float32)})["y"].shape == shape
    found = loaded(name, made([("NonZero", ["x"], ["y"])], [("x", FLOAT, ["N", 2])], [("y", INT64, [2, "n"])]))
    for values, count in (([[1, 0]], 1), ([[1, 2]], 2), ([[0, 0]], 0), ([[3, 4]], 2)):
        assert found.run({"x": np.array(values, np.float32)})["y"].shape == (2, count)


@each_engine
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [(TensorProto.DOUBLE, "float64"), (TensorProto.FLOAT16, "float16"), (INT64, "int64"), (TensorProto.INT32, "int32"),
     (UINT8, "uint8"), (TensorProto.INT8, "int8"), (TensorProto.BOOL, "bool")],
)  # fmt: skip
def test_other_types_go_in_and_come_out_as_they_are(name: str, kind: int, dtype: str) -> None:
    """No engine converts what it is fed."""
    engine = loaded(name, made([("Identity", ["x"], ["y"])], [("x", kind, ["N", 2])], [("y", kind, ["N", 2])]))
    assert (engine.inputs[0].dtype, engine.outputs[0].dtype) == (dtype, dtype)
    values = np.array([[0, 1], [1, 0]], dtype)
    output = engine.run({"x": values})["y"]
    assert (output.dtype.name, output.tolist()) == (dtype, values.tolist())


@each_engine
def test_scalars_and_strided_arrays_are_taken(name: str) -> None:
    """An input without axes, and arrays that do not lie in memory in order or may not be written."""
    engine = loaded(
        name, made([("Mul", ["x", "s"], ["y"])], [("x", FLOAT, ["N", 2]), ("s", FLOAT, [])], [("y", FLOAT, ["N", 2])])
    )
    across = np.arange(6, dtype=np.float32).reshape(2, 3).T
    across.flags.writeable = False
    for _ in range(2):
        output = engine.run({"x": across, "s": np.array(2, np.float32)})["y"]
        assert output.tolist() == (2 * across).tolist()


@each_engine
@pytest.mark.parametrize(
    "feeds",
    [
        {},
        {"x": np.zeros((1, 3), np.float32)},
        {"x": np.zeros(2, np.float32)},
        {"x": np.zeros((1, 2))},
        {"x": np.array([["a", "b"]])},
        {"x": np.array([[None, None]])},
        {"x": np.zeros((1, 2), np.float32), "z": np.zeros(1, np.float32)},
    ],
    ids=["missing", "wrong size", "wrong rank", "wrong type", "words", "objects", "unknown"],
)
def test_arrays_the_model_does_not_take_are_bad_input(name: str, feeds: dict[str, Array]) -> None:
    """E-INFERENCE, and the engine goes on serving afterwards."""
    engine = loaded(name, relu())
    with pytest.raises(BadInput) as caught:
        engine.run(feeds)
    assert caught.value.code == "E-INFERENCE"
    assert engine.run({"x": np.array([[-1, 2]], np.float32)})["y"].tolist() == [[0, 2]]


@each_engine
@pytest.mark.parametrize("data", [b"", b"no model", relu()[:-7]], ids=["empty", "text", "cut off"])
def test_what_is_no_model_is_bad_input(name: str, data: bytes) -> None:
    """E-MODEL-LOAD with the engine's name in it."""
    with pytest.raises(BadInput) as caught:
        loaded(name, data)
    assert caught.value.code == "E-MODEL-LOAD"
    assert engines.ENGINES[name].title in caught.value.message


@each_engine
def test_threads_share_an_engine(name: str) -> None:
    """Each caller gets the answer to its own question, whatever the others ask meanwhile."""
    engine = loaded(name, ZOO["mlp"]().SerializeToString())
    feeds = [feeds_for(ZOO["mlp"](), 1 + index % 3, seed=index) for index in range(8)]
    expected = [engine.run(one) for one in feeds]
    wrong: list[int] = []

    def ask(index: int) -> None:
        for _ in range(50):
            outputs = engine.run(feeds[index])
            if any(not np.allclose(outputs[key], expected[index][key], rtol=1e-5, atol=1e-6) for key in outputs):
                wrong.append(index)

    askers = [threading.Thread(target=ask, args=(index,)) for index in range(len(feeds))]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert wrong == []


@each_engine
def test_an_answer_is_the_caller_s_own(name: str) -> None:
    """The next inference does not change the arrays of the last, and the caller may write to them."""
    engine = loaded(name, relu())
    first = engine.run({"x": np.array([[1, 2]], np.float32)})["y"]
    engine.run({"x": np.array([[3, 4]], np.float32)})
    assert first.tolist() == [[1, 2]]
    first[:] = 9
    assert engine.run({"x": np.array([[5, 6]], np.float32)})["y"].tolist() == [[5, 6]]


@each_engine
def test_real_models_with_odd_graphs_agree_or_are_refused(name: str, assets: Path) -> None:
    """Old operator sets, other inputs than floats, open image sizes, control flow: right or E-MODEL-LOAD."""
    agreeing, refusals = [], []
    for file in sorted((assets / "odd_graphs").glob("*.onnx")):
        data = file.read_bytes()
        reference = OrtEngine(data)
        shapes = {"x": (1, 3, 48, 192)} if "ppocr" in file.name else {}
        try:
            engine = loaded(name, data)
        except BadInput as refused:
            refusals.append(refused.code)
            continue
        feeds = synthetic_feeds(reference, shapes)
        assert decibels(engine.run(feeds), reference.run(feeds)) > 80
        agreeing.append(file.name)
    assert len(agreeing) >= 4
    assert set(refusals) <= {"E-MODEL-LOAD"}


def test_an_unknown_engine_is_named_with_those_there_are() -> None:
    """The error lists what can be used."""
    with pytest.raises(BadInput) as caught:
        engines.load("tflite", b"", SessionSettings())
    assert (caught.value.code, caught.value.fix) == ("E-ENGINE-UNKNOWN", "use one of: onnxruntime, openvino")
    with pytest.raises(BadInput):
        engines.version_of("tflite")


def test_onnxruntime_is_always_available() -> None:
    """It is a dependency, and each engine's release is known."""
    assert engines.available()[engines.DEFAULT] is None
    assert all(engines.version_of(name)[0].isdigit() for name in INSTALLED)


def test_an_engine_that_is_not_installed_says_how_to_install_it() -> None:
    """It is listed with the command, and to load with it is a fault of the environment, not a traceback."""
    script = (
        "import sys\n"
        "sys.modules['openvino'] = None\n"
        "import importlib.util\n"
        "importlib.util.find_spec = lambda name, found=importlib.util.find_spec: None if name == 'openvino' else "
        "found(name)\n"
        "from edge_runtime.errors import EnvironmentFault\n"
        "from edge_runtime.inference import engines\n"
        "from edge_runtime.inference.ort import SessionSettings\n"
        "print(engines.available()['openvino'])\n"
        "try:\n"
        "    engines.load('openvino', b'', SessionSettings())\n"
        "except EnvironmentFault as fault:\n"
        "    print(fault.code, fault.fix)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    command = "pip install 'edgeopt[openvino]'"
    assert ended.stdout.splitlines() == [command, f"E-ENGINE-MISSING {command}"]


@pytest.mark.skipif("openvino" not in INSTALLED, reason="needs the extra: pip install 'edgeopt[openvino]'")
class TestOpenVino:
    """What is OpenVINO's own."""

    def test_nothing_that_reports_usage_is_loaded_and_nothing_is_sent(self, tmp_path: Path) -> None:
        """Loading and running a model opens no socket, loads no telemetry and writes no file at home."""
        (tmp_path / "model.onnx").write_bytes(relu())
        script = (
            "import sys\n"
            "seen = []\n"
            "sys.addaudithook(lambda event, args: seen.append(event) if event.startswith('socket.') else None)\n"
            "import numpy as np\n"
            "from edge_runtime.inference.openvino import OpenVinoEngine\n"
            "engine = OpenVinoEngine(open('model.onnx', 'rb').read())\n"
            "engine.run({'x': np.zeros((1, 2), np.float32)})\n"
            "print(seen, sorted(name for name in sys.modules if 'telemetry' in name))\n"
        )
        ended = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin"},
        )  # fmt: skip
        assert ended.stdout.strip() == "[] []"
        assert [file.name for file in tmp_path.rglob("*")] == ["model.onnx"]

    def test_a_property_it_does_not_know_is_bad_input(self) -> None:
        """What a variant asks for and the engine does not have is no crash."""
        with pytest.raises(BadInput) as caught:
            engines.load("openvino", relu(), SessionSettings(config={"no.such.property": "1"}))
        assert caught.value.code == "E-MODEL-LOAD"

    def test_a_broken_installation_is_a_fault_of_the_environment(self, tmp_path: Path) -> None:
        """A library that does not start, as on a system too old for it, is said with its own words."""
        (tmp_path / "openvino.py").write_text("raise ImportError('GLIBC_2.35 not found')\n")
        script = (
            "from edge_runtime.errors import EnvironmentFault\n"
            "from edge_runtime.inference import engines\n"
            "try:\n"
            "    engines.version_of('openvino')\n"
            "except EnvironmentFault as fault:\n"
            "    print(fault.code, fault.message)\n"
        )
        command = [sys.executable, "-c", f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n{script}"]
        ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert ended.stdout.startswith("E-ENGINE-MISSING")
        assert "GLIBC_2.35" in ended.stdout
