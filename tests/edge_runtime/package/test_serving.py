"""From a package file to an engine that has proved itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import helper

from edge_runtime.errors import BadInput, EnvironmentFault, Refused
from edge_runtime.inference import ort
from edge_runtime.inference.engine import Array, Tensor
from edge_runtime.inference.providers import NAMES
from edge_runtime.package import archive, golden, race
from edge_runtime.package.choice import Wishes
from edge_runtime.package.manifest import Needs, Variant
from edge_runtime.package.serving import load_for_serving, this_machine


def test_a_sound_package_serves(file: Path, parts: Any) -> None:
    """The first variant is loaded, has reproduced its samples, and predicts."""
    served = load_for_serving(file)
    assert served.variant.name == "fp32"
    assert served.golden.samples == 3
    assert np.array_equal(served.engine.run(parts.inputs)["y"], parts.outputs["y"])
    assert served.digest == archive.read(file).digest


def _with_threads(parts: Any, count: int) -> Any:
    variant = msgspec.structs.replace(parts.manifest.variants[0], threads=count)
    return msgspec.structs.replace(parts.manifest, variants=(variant,))


@pytest.mark.parametrize("count", [1, 2])
def test_a_variant_is_served_with_the_threads_it_was_measured_with(file: Path, parts: Any, count: int) -> None:
    """The manifest's number reaches the session."""
    archive.write(file, _with_threads(parts, count), parts.members)
    assert load_for_serving(file).engine.threads == count


@pytest.mark.parametrize("count", [0, -1, 257])
def test_threads_out_of_range_are_damage(file: Path, parts: Any, count: int) -> None:
    """No number of threads that edgeopt never writes is tried out on a device."""
    archive.write(file, _with_threads(parts, count), parts.members)
    with pytest.raises(Refused) as caught:
        load_for_serving(file)
    assert caught.value.code == "E-PACKAGE-DAMAGED"
    assert "threads" in caught.value.message


def test_a_variant_that_computes_something_else_is_refused(file: Path, parts: Any, doubled: bytes) -> None:
    """A whole package with digests that fit, but a model that fails its samples here, never serves."""
    archive.write(file, parts.manifest, {**parts.members, "variants/fp32.onnx": doubled})
    with pytest.raises(Refused) as caught:
        load_for_serving(file)
    assert caught.value.code == "E-GOLDEN-MISMATCH"


def test_a_model_with_other_inputs_than_the_manifest_is_refused(file: Path, parts: Any) -> None:
    """What the manifest promises to callers must be what the model takes."""
    other = msgspec.structs.replace(parts.manifest, inputs=(Tensor("signal", "float32", ("N", 2)),))
    archive.write(file, other, parts.members)
    with pytest.raises(Refused) as caught:
        load_for_serving(file)
    assert caught.value.code == "E-PACKAGE-INTERFACE"


def test_a_variant_that_is_no_model_is_bad_input(file: Path, parts: Any) -> None:
    """Bytes that onnxruntime cannot load end in its error code, not in a traceback."""
    archive.write(file, parts.manifest, {**parts.members, "variants/fp32.onnx": b"words"})
    with pytest.raises(BadInput) as caught:
        load_for_serving(file)
    assert caught.value.code == "E-MODEL-LOAD"


def _slow(model: bytes) -> bytes:
    """Return the same function, by way of many products with the identity."""
    proto = onnx.load_model_from_string(model)
    eye = onnx.numpy_helper.from_array(np.eye(2, dtype=np.float32), "eye")
    nodes = [helper.make_node("MatMul", [f"h{i}", "eye"], [f"h{i + 1}"]) for i in range(300)]
    proto.graph.node[0].output[0] = "h0"
    nodes[-1].output[0] = "y"
    proto.graph.node.extend(nodes)
    proto.graph.initializer.append(eye)
    return bytes(proto.SerializeToString())


FOREIGN = Needs(isa=("riscv64",))


def _pack(path: Path, parts: Any, *variants: tuple[Variant, bytes]) -> Path:
    """Write a package of several variants, each with the golden outputs of the tiny one."""
    outputs = {variant.name: parts.outputs for variant, _ in variants}
    members = {variant.file: model for variant, model in variants}
    manifest = msgspec.structs.replace(parts.manifest, variants=tuple(variant for variant, _ in variants))
    archive.write(path, manifest, {**members, "golden.npz": golden.encode(parts.inputs, outputs)})
    return path


def _variant(parts: Any, name: str, **fields: Any) -> Variant:
    [plain] = parts.manifest.variants
    return msgspec.structs.replace(plain, name=name, file=f"variants/{name}.onnx", **fields)


@pytest.fixture
def model(parts: Any) -> bytes:
    """Return the tiny package's model."""
    return bytes(parts.members["variants/fp32.onnx"])


@pytest.fixture
def three(file: Path, parts: Any, model: bytes, doubled: bytes) -> Path:
    """Return a package of a variant for another machine, one that computes something else here, and a good one."""
    foreign, wrong, good = (
        _variant(parts, "foreign", needs=FOREIGN),
        _variant(parts, "wrong"),
        _variant(parts, "good"),
    )
    return _pack(file, parts, (foreign, model), (wrong, doubled), (good, model))


def test_the_first_that_passes_serves(three: Path, parts: Any) -> None:
    """The others keep their reasons, and it is right."""
    served = load_for_serving(three)
    assert served.variant.name == "good"
    assert served.reason == "the first of 3 that can serve here"
    reasons = {one.name: one.reason for one in served.skipped}
    assert reasons.keys() == {"foreign", "wrong"}
    assert "it is for riscv64" in reasons["foreign"]
    assert "E-GOLDEN-MISMATCH" in reasons["wrong"]
    assert np.array_equal(served.engine.run(parts.inputs)["y"], parts.outputs["y"])
    assert (served.provider, served.nodes, served.fallback) == ("cpu", None, None)


def test_what_comes_after_the_first_is_not_loaded(file: Path, parts: Any, model: bytes) -> None:
    """A small board has no memory for what it does not serve: the second is no model at all."""
    _pack(file, parts, (_variant(parts, "good"), model), (_variant(parts, "broken"), b"words"))
    served = load_for_serving(file)
    assert (served.variant.name, served.reason, served.skipped) == ("good", "the package's first choice", ())


def test_a_package_for_other_machines_only(file: Path, parts: Any, model: bytes) -> None:
    """Bad input: every variant's reason, and the command that builds one."""
    _pack(file, parts, *((_variant(parts, name, needs=FOREIGN), model) for name in ("a", "b")))
    with pytest.raises(BadInput) as caught:
        load_for_serving(file)
    assert caught.value.code == "E-PACKAGE-NO-VARIANT"
    assert "a: it is for riscv64" in caught.value.message
    assert "b: it is for riscv64" in caught.value.message
    assert "edgeopt quantize MODEL --target" in caught.value.fix


def test_a_package_whose_last_hope_computes_something_else(
    file: Path, parts: Any, model: bytes, doubled: bytes
) -> None:
    """Refused for safety, no matter that another variant is only for another machine."""
    _pack(file, parts, (_variant(parts, "foreign", needs=FOREIGN), model), (_variant(parts, "wrong"), doubled))
    with pytest.raises(Refused) as caught:
        load_for_serving(file)
    assert caught.value.code == "E-PACKAGE-NO-VARIANT"
    assert "wrong: E-GOLDEN-MISMATCH" in caught.value.message


def test_a_pinned_variant_serves_or_nothing_does(three: Path) -> None:
    """Its own error comes through, and no other variant takes its place."""
    served = load_for_serving(three, Wishes(variant="good"))
    assert served.reason == "the configuration asks for it"
    with pytest.raises(Refused) as mismatch:
        load_for_serving(three, Wishes(variant="wrong"))
    assert mismatch.value.code == "E-GOLDEN-MISMATCH"
    with pytest.raises(BadInput) as foreign:
        load_for_serving(three, Wishes(variant="foreign"))
    assert foreign.value.code == "E-PACKAGE-NO-VARIANT"
    assert "wrong" not in foreign.value.message


def test_a_missing_provider_is_skipped_unless_it_is_asked_for(file: Path, parts: Any, model: bytes) -> None:
    """A GPU variant is no fault of a machine without one; a configuration that wants it is not met by the processor."""
    gpu = _variant(parts, "gpu", provider="cuda")
    _pack(file, parts, (gpu, model), (_variant(parts, "fp32"), model))
    served = load_for_serving(file)
    assert (served.variant.name, served.fallback) == ("fp32", None)
    assert "CUDAExecutionProvider" in served.skipped[0].reason
    with pytest.raises(EnvironmentFault) as caught:
        load_for_serving(file, Wishes(providers=("cuda",)))
    assert caught.value.code == "E-PROVIDER-MISSING"


def test_an_allowed_fallback_takes_what_is_made_for_the_processor(file: Path, parts: Any, model: bytes) -> None:
    """Rather than the GPU's form of the model on the processor; that it is not what was asked for is told."""
    gpu = _variant(parts, "gpu", provider="cuda")
    _pack(file, parts, (gpu, model), (_variant(parts, "fp32"), model))
    for selection in ("first", "fastest"):
        served = load_for_serving(file, Wishes(providers=("cuda",), fallback=True, selection=selection))
        assert (served.variant.name, served.provider) == ("fp32", "cpu")
        assert served.fallback is not None
        assert "instead of cuda" in served.fallback
        assert "E-PROVIDER-MISSING" in served.skipped[0].reason


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_fails_is_skipped_unless_it_is_asked_for(
    file: Path, parts: Any, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As onnxruntime lists providers whose libraries it then cannot load."""
    monkeypatch.setattr(ort, "available_providers", lambda: list(NAMES.values()))
    gpu, other = _variant(parts, "gpu", provider="cuda"), _variant(parts, "fp32")
    _pack(file, parts, (gpu, model), (other, model))
    served = load_for_serving(file)
    assert (served.variant.name, served.fallback) == ("fp32", None)
    assert "E-PROVIDER-FAILED" in served.skipped[0].reason
    with pytest.raises(EnvironmentFault) as caught:
        load_for_serving(file, Wishes(providers=("cuda",)))
    assert caught.value.code == "E-PROVIDER-FAILED"


def test_an_allowed_fallback_is_told(file: Path, parts: Any, model: bytes) -> None:
    """Where only the GPU's variant is there, the processor executes it, and says for whom it stands in."""
    _pack(file, parts, (_variant(parts, "gpu", provider="cuda"), model))
    served = load_for_serving(file, Wishes(providers=("cuda",), fallback=True))
    assert (served.variant.name, served.provider) == ("gpu", "cpu")
    assert served.fallback is not None
    assert "cuda" in served.fallback


def test_an_unknown_engine_is_skipped(file: Path, parts: Any, model: bytes) -> None:
    """A package from the future serves what this version knows."""
    _pack(file, parts, (_variant(parts, "new", engine="abacus"), model), (_variant(parts, "fp32"), model))
    served = load_for_serving(file)
    assert served.variant.name == "fp32"
    assert "no engine abacus" in served.skipped[0].reason


def test_the_fastest_is_found_among_those_that_are_right(file: Path, parts: Any, model: bytes, doubled: bytes) -> None:
    """The slow one computes the same and stands first; the one that computes wrong is never in the race."""
    slow, wrong, quick = _variant(parts, "slow"), _variant(parts, "wrong"), _variant(parts, "quick")
    _pack(file, parts, (slow, _slow(model)), (wrong, doubled), (quick, model))
    assert load_for_serving(file).variant.name == "slow"
    served = load_for_serving(file, Wishes(selection="fastest"))
    assert served.variant.name == "quick"
    assert "the fastest of 2" in served.reason
    assert "measured" in served.reason
    reasons = {one.name: one.reason for one in served.skipped}
    assert "E-GOLDEN-MISMATCH" in reasons["wrong"]
    assert "ms here" in reasons["slow"]


def test_a_race_of_one_needs_no_time(three: Path) -> None:
    """Where a single variant is right, it serves."""
    served = load_for_serving(three, Wishes(selection="fastest"))
    assert (served.variant.name, served.reason) == ("good", "the only one that can serve here")


def test_a_race_runs_in_turns_and_ends() -> None:
    """Every round runs each once; without any time there is one round, so that every engine has a figure."""
    order: list[str] = []

    class Named:
        inputs = outputs = ()

        def __init__(self, name: str) -> None:
            self.name = name

        def run(self, feeds: Any) -> dict[str, Array]:
            order.append(self.name)
            return {}

    assert len(race.medians([Named("a"), Named("b")], {}, 0.0)) == 2
    assert order == ["a", "b"]
    race.medians([Named("a"), Named("b")], {}, 0.01)
    assert order == ["a", "b"] * (len(order) // 2)


def test_this_machine_has_a_processor() -> None:
    """The facts that the choice starts from."""
    machine = this_machine()
    assert "CPUExecutionProvider" in machine.providers
    assert machine.engines["onnxruntime"] is None
