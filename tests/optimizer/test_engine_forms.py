"""Forms in other engines: held against onnxruntime's answers first, then timed, chosen, sealed and served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from benches import QUICK, original_of, stopwatch_for
from models import images, residual_convnet
from onnx import numpy_helper

from edge_runtime.errors import EnvironmentFault
from edge_runtime.inference import engines
from edge_runtime.inference.engine import Array, Feeds
from edge_runtime.inference.engines import ENGINES, Kind
from edge_runtime.inference.ort import OrtEngine, SessionSettings
from edge_runtime.package.serving import load_for_serving
from optimizer.compare import open_side
from optimizer.data import Dataset
from optimizer.engine_audit import audited
from optimizer.evaluate import Budget
from optimizer.flow import optimize
from optimizer.load import load_model
from optimizer.metrics import BUILT_IN
from optimizer.quantizers.fitted import fitted
from optimizer.request import Request
from optimizer.result import Result

HAS_OPENVINO = engines.available()["openvino"] is None
needs_openvino = pytest.mark.skipif(not HAS_OPENVINO, reason="needs the extra: pip install 'edgeopt[openvino]'")


class Zeros(OrtEngine):
    """An engine that is wrong: all outputs are 0."""

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """Answer at once, and nothing."""
        return {name: np.zeros_like(array) for name, array in super().run(feeds).items()}


class Remembering(OrtEngine):
    """An engine that is right and fast: it knows the answers to what it was asked before."""

    def __init__(self, model: bytes, settings: SessionSettings | None = None) -> None:
        super().__init__(model, settings)
        self._known: dict[bytes, dict[str, Array]] = {}

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """Look the answer up."""
        asked = b"".join(array[:, 0, 0].tobytes() for array in feeds.values())
        if asked not in self._known:
            self._known[asked] = super().run(feeds)
        return self._known[asked]


def planted(monkeypatch: pytest.MonkeyPatch, name: str, kind: type[OrtEngine], library: str = "numpy") -> None:
    """Put an engine into the registry, in place of all others but onnxruntime."""

    def version() -> str:
        if engines.available()[name]:
            raise EnvironmentFault("E-ENGINE-MISSING", f"{name} is not installed", f"pip install {name}")
        return "1.0"

    monkeypatch.delitem(ENGINES, "openvino")
    monkeypatch.setitem(ENGINES, name, Kind(name.title(), kind, version, library, f"pip install {name}"))


def optimized(tmp_path: Path, engine: str = "auto", model: onnx.ModelProto | None = None) -> Result:
    """Optimize a small network under a budget that allows much."""
    path = tmp_path / "net.onnx"
    onnx.save_model(model or residual_convnet(), path)
    data = Dataset({"x": images(40)}, None, "x.npz")
    budget = Budget(20.0, relative=False)
    request = Request(data, data, BUILT_IN["agreement"], budget, plan=QUICK, effort="quick", engine=engine)
    return optimize(load_model(path), request)


def test_an_engine_that_returns_zeros_is_rejected_by_the_golden_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However fast it is, no form in it is timed, and the package keeps the reason."""
    planted(monkeypatch, "zeros", Zeros)
    result = optimized(tmp_path)
    tried = [form for form in result.candidates if form.engine_name == "zeros"]
    assert {form.name for form in tried} >= {"fp32-zeros"}
    assert any(form.scheme is not None for form in tried)
    assert all("Zeros computes something else than onnxruntime" in str(form.rejected) for form in tried)
    assert all(form.speedup is None for form in tried)
    assert result.chosen.engine_name == engines.DEFAULT
    kept = {lost.name: lost.reason for lost in result.manifest.rejected}
    assert "signal to noise 0.0 dB" in kept["fp32-zeros"]


def test_a_faster_engine_that_agrees_is_chosen_sealed_and_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest names engine, release and evidence, and the daemon loads the variant with that engine."""
    planted(monkeypatch, "remembering", Remembering)
    result = optimized(tmp_path)
    variant = result.manifest.variants[0]
    assert (variant.engine, result.chosen.engine_name) == ("remembering", "remembering")
    assert variant.name.endswith("-remembering")
    (evidence,) = variant.evidence
    assert (evidence.engine, evidence.label, evidence.exact) == ("remembering 1.0", "measured", True)
    assert evidence.samples == 16
    assert result.manifest.source.tools["remembering"] == "1.0"
    result.write(tmp_path / "net.edgepkg")
    served = load_for_serving(tmp_path / "net.edgepkg")
    assert isinstance(served.engine, Remembering)
    compared = open_side(tmp_path / "net.edgepkg")
    assert isinstance(compared.engine, Remembering), "what is compared is what is served"


def test_an_engine_that_is_not_installed_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no error, and the note has the command; who asks for it by name gets an error with the command."""
    planted(monkeypatch, "distant", Zeros, library="no_such_library")
    result = optimized(tmp_path)
    assert [note for note in result.warnings if "Distant" in note] == [
        "Distant is not installed: pip install distant to try it"
    ]
    assert {form.engine_name for form in result.candidates} == {engines.DEFAULT}
    with pytest.raises(EnvironmentFault) as caught:
        optimized(tmp_path, engine="distant")
    assert (caught.value.code, caught.value.fix) == ("E-ENGINE-MISSING", "pip install distant")


def test_one_engine_alone_can_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Onnxruntime alone tries no other and says nothing of it; another alone leaves onnxruntime's forms out."""
    planted(monkeypatch, "zeros", Zeros)
    alone = optimized(tmp_path, engine="onnxruntime")
    assert {form.engine_name for form in alone.candidates} == {engines.DEFAULT}
    other = optimized(tmp_path, engine="zeros")
    assert other.chosen is other.candidates[0], "what nothing came through for stays the user's own model"
    ours = [form for form in other.candidates[1:] if form.engine_name == engines.DEFAULT]
    assert ours
    assert all(form.rejected for form in ours)


def test_times_in_another_engine_or_release_are_other_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was timed in one engine is not taken for another, nor for the next release of it."""
    planted(monkeypatch, "remembering", Remembering)
    own = original_of(residual_convnet().SerializeToString())
    other = replace(own, name="other", engine_name="remembering")
    stopwatch = stopwatch_for(images(1))
    stopwatch.timed([own, replace(own, name="other")], QUICK)
    stopwatch.timed([own, other], QUICK)
    stopwatch.timed([own, other], QUICK)
    monkeypatch.setitem(ENGINES, "remembering", replace(ENGINES["remembering"], version=lambda: "2.0"))
    stopwatch.timed([own, other], QUICK)
    digests = [one.digest for one in stopwatch.taken]
    assert digests[1] == digests[2]
    assert len(set(digests)) == 3
    assert stopwatch.anew == 3


def raw_bytes() -> onnx.ModelProto:
    """Return the network with its input's step measured at exactly 1, as of raw bytes."""
    scale, zero = numpy_helper.from_array(np.float32(1), "s"), numpy_helper.from_array(np.uint8(0), "z")
    model = residual_convnet()
    codes = onnx.helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], "q")
    restored = onnx.helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], "d")
    model.graph.node[0].input[0] = "d"
    model.graph.node.insert(0, restored)
    model.graph.node.insert(0, codes)
    model.graph.initializer.extend([scale, zero])
    return model


def test_only_the_engine_that_needs_it_gets_other_steps() -> None:
    """A step of exactly 1 moves by one bit, the answers stay; a model without one stays as it is."""
    data = raw_bytes().SerializeToString()
    assert fitted(data, "onnxruntime") == data
    plain = residual_convnet().SerializeToString()
    assert fitted(plain, "openvino") == plain
    moved = fitted(data, "openvino")
    assert moved != data
    feeds = {"x": np.random.default_rng(0).integers(0, 256, (3, 3, 16, 16)).astype(np.float32)}
    np.testing.assert_allclose(OrtEngine(moved).run(feeds)["y"], OrtEngine(data).run(feeds)["y"], rtol=1e-5)


@needs_openvino
def test_openvino_executes_every_layer_in_int8(tmp_path: Path) -> None:
    """The static form is tried in it, agrees, and what it says of its kernels is what the report shows."""
    result = optimized(tmp_path)
    (form, *_) = [one for one in result.candidates if one.engine_name == "openvino" and one.scheme is not None]
    assert form.accuracy is not None
    assert form.agreement is None or form.agreement > 20
    executed = audited(form, {"x": (1, 3, 16, 16)})
    assert (executed.integer, executed.float32) == (3, 0)
    assert "in OpenVINO 20" in form.precision


@needs_openvino
def test_a_model_that_openvino_cannot_read_stays_in_onnxruntime(tmp_path: Path) -> None:
    """Its refusal is the form's reason, and the work goes on."""
    model = residual_convnet()
    scaling = {"offset": [0.0], "scale": [1.0]}
    node = onnx.helper.make_node("Scaler", ["y_before"], ["y"], "scaler", domain="ai.onnx.ml", **scaling)
    model.graph.node[-1].output[0] = "y_before"
    model.graph.node.append(node)
    model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 3))
    result = optimized(tmp_path, model=model)
    (own, *_) = [one for one in result.candidates if one.name == "fp32-openvino"]
    assert "ai.onnx.ml.Scaler" in str(own.rejected)
    assert result.chosen.engine_name == engines.DEFAULT
