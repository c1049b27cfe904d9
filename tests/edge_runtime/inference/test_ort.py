"""The onnxruntime door: what a session is made of, and that its failures are ours."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_runtime.errors import BadInput
from edge_runtime.inference import ort
from edge_runtime.inference.engine import Tensor
from edge_runtime.inference.ort import OrtEngine, SessionSettings, executed_graph, simplify_graph


def model(
    operator: str = "Relu", dtype: int = TensorProto.FLOAT, shape: tuple[int | str | None, ...] = ("N", 2)
) -> bytes:
    """Return a model of one operator from x to y."""
    ends = [helper.make_tensor_value_info(name, dtype, list(shape)) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"])], "one", ends[:1], ends[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnx.ModelProto.SerializeToString(made)


@pytest.mark.parametrize(
    ("dtype", "name"),
    [(TensorProto.FLOAT, "float32"), (TensorProto.DOUBLE, "float64"), (TensorProto.INT64, "int64"),
     (TensorProto.UINT8, "uint8"), (TensorProto.BOOL, "bool"), (TensorProto.FLOAT16, "float16")],
)  # fmt: skip
def test_inputs_are_described_in_numpy_s_words(dtype: int, name: str) -> None:
    """Element types, fixed, named and nameless dimensions come out as the contract says."""
    engine = OrtEngine(model("Identity", dtype, ("N", 3, None)))
    assert engine.inputs == (Tensor("x", name, ("N", 3, "?")),)
    assert str(engine.inputs[0]) == f"x: {name}[N, 3, ?]"
    assert engine.inputs[0].has_dynamic_batch()
    assert engine.inputs[0].elements_per_sample() is None
    assert Tensor("x", name, ("N", 3, 4)).elements_per_sample() == 12


def test_a_batch_runs() -> None:
    """Arrays by input name in, arrays by output name out."""
    result = OrtEngine(model()).run({"x": np.array([[-1.0, 2.0]], dtype=np.float32)})
    assert result["y"].tolist() == [[0.0, 2.0]]


@pytest.mark.parametrize(
    "feeds",
    [
        {},
        {"x": np.zeros((1, 3), dtype=np.float32)},
        {"x": np.zeros(2, dtype=np.float32)},
        {"x": np.zeros((1, 2))},
        {"x": np.array([["a", "b"]])},
        {"x": np.array([[None, None]])},
        {"x": np.zeros((1, 2), dtype=np.float32), "z": np.zeros(1, dtype=np.float32)},
    ],
    ids=["missing", "wrong size", "wrong rank", "wrong type", "words", "objects", "unknown"],
)
def test_arrays_the_model_does_not_take_are_bad_input(feeds: dict[str, np.ndarray]) -> None:  # type: ignore[type-arg]
    """Whatever onnxruntime raises for them: one code, one line, a hint."""
    with pytest.raises(BadInput) as caught:
        OrtEngine(model()).run(feeds)
    assert caught.value.code == "E-INFERENCE"
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("data", [b"", b"words", model()[:-5], model("NoSuchOperator")])
def test_bytes_that_are_no_model_are_bad_input(data: bytes) -> None:
    """Empty, foreign, truncated or with an unknown operator: E-MODEL-LOAD."""
    with pytest.raises(BadInput) as caught:
        OrtEngine(data)
    assert caught.value.code == "E-MODEL-LOAD"


def test_settings_reach_the_session() -> None:
    """Threads and extra entries are the session's own; one thread that does not spin is the default."""
    engine = OrtEngine(model(), SessionSettings(threads=2, config={"session.set_denormal_as_zero": "1"}))
    options = engine._session.get_session_options()
    assert options.intra_op_num_threads == 2
    assert options.get_session_config_entry("session.set_denormal_as_zero") == "1"
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert OrtEngine(model())._session.get_session_options().intra_op_num_threads == 1


def test_simplifying_keeps_what_the_model_computes() -> None:
    """No-ops go, names of inputs and outputs and the results stay, and plain ONNX tools can read it."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in ("x", "y")]
    nodes = [helper.make_node("Identity", ["x"], ["a"]), helper.make_node("Dropout", ["a"], ["b"]),
             helper.make_node("Relu", ["b"], ["y"])]  # fmt: skip
    graph = helper.make_graph(nodes, "noisy", ends[:1], ends[1:])
    noisy = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    data = onnx.ModelProto.SerializeToString(noisy)
    simple = simplify_graph(data)
    onnx.checker.check_model(onnx.load_model_from_string(simple))
    assert [node.op_type for node in onnx.load_model_from_string(simple).graph.node] == ["Relu"]
    feeds = {"x": np.array([[-1.0, 3.0]], dtype=np.float32)}
    assert np.array_equal(OrtEngine(simple).run(feeds)["y"], OrtEngine(data).run(feeds)["y"])


def test_simplifying_what_is_no_model_is_bad_input() -> None:
    """The same code as loading it."""
    with pytest.raises(BadInput) as caught:
        simplify_graph(b"words")
    assert caught.value.code == "E-MODEL-LOAD"


@pytest.mark.parametrize("saturates", [True, False])
def test_a_model_that_cannot_be_guarded_against_saturation_still_loads(
    monkeypatch: pytest.MonkeyPatch, saturates: bool
) -> None:
    """Weights that share a zero point make onnxruntime's guard fail: the model runs without, and says so."""
    monkeypatch.setattr(ort, "int8_dot_products_saturate", lambda: saturates)
    codes = np.full((2, 2), 100, np.int8)  # the guard leaves small codes alone
    weight = {"codes1": codes, "codes2": codes, "scale": np.float32(0.5), "zero": np.int8(0)}
    nodes = [helper.make_node("DequantizeLinear", [f"codes{n}", "scale", "zero"], [f"w{n}"]) for n in (1, 2)]
    nodes += [helper.make_node("MatMul", ["x", "w1"], ["a"]), helper.make_node("MatMul", ["a", "w2"], ["y"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in ("x", "y")]
    constants = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in weight.items()]
    graph = helper.make_graph(nodes, "shared", ends[:1], ends[1:], constants)
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
    engine = OrtEngine(data)
    assert engine.run({"x": np.ones((1, 2), np.float32)})["y"].tolist() == [[10000.0, 10000.0]]
    assert engine.int8_is_exact is not saturates
    assert executed_graph(data, SessionSettings())


@pytest.mark.parametrize("guard", ["0", "1"])
def test_settings_decide_about_the_guard_without_a_warning(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], guard: str
) -> None:
    """An entry of the settings stands in place of the one that is set by itself, and onnxruntime prints nothing."""
    monkeypatch.setattr(ort, "int8_dot_products_saturate", lambda: True)
    options = ort._session_options(SessionSettings(config={ort.GUARD: guard}), guard=True)
    assert options.get_session_config_entry(ort.GUARD) == guard
    assert ort._session_options(SessionSettings(), guard=True).get_session_config_entry(ort.GUARD) == "1"
    assert capfd.readouterr().err == ""
