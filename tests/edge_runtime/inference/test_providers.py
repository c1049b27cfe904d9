"""Providers: what is asked of onnxruntime, and that nothing runs elsewhere unheard. No GPU is needed, none is used."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_runtime.errors import BadInput, EnvironmentFault, Refused
from edge_runtime.inference import ort, providers, tensorrt
from edge_runtime.inference.ort import OrtEngine, SessionSettings

X = {"x": np.array([[-1.0, 2.0]], np.float32)}
ALL = list(providers.NAMES.values())


def _model(*nodes: onnx.NodeProto) -> bytes:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in ("x", "y")]
    scale = helper.make_tensor("scale", TensorProto.FLOAT, [], [0.1])
    graph = helper.make_graph(list(nodes), "small", ends[:1], ends[1:], [scale])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnx.ModelProto.SerializeToString(made)


FLOAT = _model(helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Sigmoid", ["a"], ["y"]))
INT8 = _model(
    helper.make_node("QuantizeLinear", ["x", "scale"], ["q"]),
    helper.make_node("DequantizeLinear", ["q", "scale"], ["y"]),
)
# Restores stored weights only; its node's name must not be taken for an operator.
WEIGHTS = _model(helper.make_node("Relu", ["x"], ["y"], name="QuantizeLinear"))
FLOAT16 = _model(
    helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16), helper.make_node("Cast", ["h"], ["y"], to=1)
)


@pytest.mark.parametrize("provider", ["cuda", "tensorrt", "npu"])
def test_a_provider_that_is_not_there_is_an_error(provider: str) -> None:
    """The processor does not stand in by itself."""
    with pytest.raises(EnvironmentFault) as caught:
        OrtEngine(FLOAT, SessionSettings(provider=provider))
    assert caught.value.code == "E-PROVIDER-MISSING"
    assert provider in caught.value.message


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_an_allowed_fallback_runs_on_the_processor_and_says_so(provider: str) -> None:
    """The same numbers, and the reason to publish."""
    engine = OrtEngine(FLOAT, SessionSettings(provider=provider, fallback=True))
    assert engine.provider == "cpu"
    assert engine.fallback is not None
    assert provider in engine.fallback
    np.testing.assert_array_equal(engine.run(X)["y"], OrtEngine(FLOAT).run(X)["y"])
    assert OrtEngine(FLOAT).fallback is None


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_onnxruntime_leaves_out_in_silence_is_noticed(
    monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    """It goes on without a provider whose libraries do not load; the session that it makes is not believed."""
    monkeypatch.setattr(ort, "available_providers", lambda: ALL)
    with pytest.raises(EnvironmentFault) as caught:
        OrtEngine(FLOAT, SessionSettings(provider=provider))
    assert caught.value.code == "E-PROVIDER-FAILED"
    assert OrtEngine(FLOAT, SessionSettings(provider=provider, fallback=True)).provider == "cpu"


def test_nodes_are_counted_by_provider() -> None:
    """Where it was asked for, each executed node is counted; here all of them are the processor's."""
    entry = {"session.record_ep_graph_assignment_info": "1"}
    assert OrtEngine(FLOAT, SessionSettings(config=entry)).nodes == {"cpu": 2}
    assert OrtEngine(FLOAT).nodes is None


def test_nodes_left_to_the_processor_are_put_into_words() -> None:
    """A GPU session that executes some nodes on the processor says how many; one that executes all says nothing."""
    nodes = providers.nodes_by_provider(
        [("CUDAExecutionProvider", 30), ("CPUExecutionProvider", 2), ("CUDAExecutionProvider", 8), ("Other", 1)]
    )
    assert nodes == {"cuda": 38, "cpu": 2, "Other": 1}
    words = providers.fallback_inside("cuda", nodes)
    assert words is not None
    assert "2 on cpu" in words
    assert "41 nodes" in words
    assert providers.fallback_inside("cuda", {"cuda": 38}) is None
    assert providers.fallback_inside("cuda", None) is None


def test_int8_on_cuda_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its layers would run on the processor inside a GPU session; an allowed fallback does not allow that."""
    monkeypatch.setattr(ort, "available_providers", lambda: ALL)
    with pytest.raises(BadInput) as caught:
        OrtEngine(INT8, SessionSettings(provider="cuda", fallback=True))
    assert caught.value.code == "E-PROVIDER-PRECISION"
    assert "tensorrt" in caught.value.fix


def test_what_a_model_holds_is_read_from_its_bytes() -> None:
    """Operators and casts are told from names that look like them."""
    assert [providers.quantizes(model) for model in (FLOAT, WEIGHTS, INT8, FLOAT16)] == [False, False, True, False]
    assert [tensorrt.stores_float16(model) for model in (FLOAT, WEIGHTS, INT8, FLOAT16)] == [False, False, False, True]


@pytest.mark.parametrize(("model", "int8", "float16"), [(FLOAT, "0", "0"), (FLOAT16, "0", "1"), (INT8, "1", "1")])
def test_tensorrt_is_never_asked_for_int8_alone(model: bytes, int8: str, float16: str) -> None:
    """Layers without an int8 kernel then run in float16; a float32 model stays float32."""
    first, *below = providers.asked_of_onnxruntime("tensorrt", model, "")
    assert isinstance(first, tuple)
    assert (first[1]["trt_int8_enable"], first[1]["trt_fp16_enable"]) == (int8, float16)
    assert "trt_engine_cache_path" not in first[1]
    assert below == ["CUDAExecutionProvider", "CPUExecutionProvider"]


def test_engines_are_kept_in_a_folder_of_one_s_own(tmp_path: Path) -> None:
    """One for each model, closed to everybody else, whatever the umask."""
    first = Path(tensorrt.options(FLOAT, str(tmp_path / "state"), int8=False)["trt_engine_cache_path"])
    other = Path(tensorrt.options(INT8, str(tmp_path / "state"), int8=True)["trt_engine_cache_path"])
    assert first != other
    assert tensorrt.options(FLOAT, str(tmp_path / "state"), int8=False)["trt_engine_cache_path"] == str(first)
    for folder in (first, first.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    """An engine is code: what somebody else could have put there is not loaded."""
    cache = tmp_path / "tensorrt"
    cache.mkdir()
    cache.chmod(0o777)
    with pytest.raises(Refused) as caught:
        tensorrt.options(FLOAT, str(cache), int8=False)
    assert caught.value.code == "E-PROVIDER-CACHE"
    assert str(cache) in caught.value.fix


def test_a_folder_behind_a_link_is_refused(tmp_path: Path) -> None:
    """A link could lead anywhere."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "tensorrt").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused) as caught:
        tensorrt.private_folder(tmp_path / "tensorrt" / "key")
    assert caught.value.code == "E-PROVIDER-CACHE"


def test_a_folder_that_cannot_be_made_is_the_environment_s_fault(tmp_path: Path) -> None:
    """A file stands in its place."""
    (tmp_path / "state").write_text("")
    with pytest.raises(EnvironmentFault) as caught:
        tensorrt.options(FLOAT, str(tmp_path / "state"), int8=False)
    assert caught.value.code == "E-PROVIDER-CACHE"
