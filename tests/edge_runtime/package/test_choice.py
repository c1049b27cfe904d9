"""Which variants a machine can serve, in which order, and the reason for each other one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from devices.host import Host
from edge_runtime.errors import BadInput, EnvironmentFault
from edge_runtime.inference.providers import NAMES
from edge_runtime.package.choice import Machine, Wishes, choose
from edge_runtime.package.manifest import Manifest, Needs, Variant

BOTH = ("x86_64", "aarch64")
PI_4 = Host("aarch64", "aarch64", frozenset({"asimd"}), 4, None, "Raspberry Pi 4 Model B Rev 1.4", "Linux 6.6")
PI_5 = replace(PI_4, features=frozenset({"asimd", "asimddp", "asimdhp"}), board="Raspberry Pi 5 Model B Rev 1.0")
ORIN = replace(PI_5, board="NVIDIA Jetson Orin Nano Developer Kit")
NANO = replace(PI_4, board="NVIDIA Jetson Nano Developer Kit")
PC = Host("x86_64", "some processor", frozenset({"avx2"}), 4, None, None, "Linux 6.1")
PI_2 = replace(PI_4, machine="armv7l")

TRT = ("tensorrt", "cuda", "cpu")
ENGINES = {"onnxruntime": None, "openvino": "pip install 'edgeopt[openvino]'"}


def machine(host: Host, *providers: str, engines: dict[str, str | None] | None = None) -> Machine:
    """Return a machine whose onnxruntime has these providers, the processor alone where none are given."""
    return Machine(host, engines or ENGINES, tuple(NAMES[name] for name in providers or ("cpu",)))


@pytest.fixture
def manifest(parts: Any) -> Manifest:
    """Return a package of one variant for each kind of machine, the preferred first."""
    [plain] = parts.manifest.variants

    def made(name: str, precision: str, **fields: Any) -> Variant:
        return msgspec.structs.replace(plain, name=name, precision=precision, **fields)

    variants = (
        made("trt-s8s8", "int8 static: symmetric", provider="tensorrt"),
        made("trt-fp16", "float16", provider="tensorrt"),
        made("cuda-fp16", "float16", provider="cuda"),
        made("openvino-u8s8", "int8 static", engine="openvino", needs=Needs(isa=BOTH)),
        made("cpu-fp16", "float16", needs=Needs(isa=("aarch64",), features=("asimdhp",))),
        made("cpu-u8s8", "int8 static", needs=Needs(isa=BOTH)),
        made("avx2-only", "int8 static", needs=Needs(isa=("x86_64",), features=("avx2", "avx512f"))),
        made("fp32", "float32"),
    )
    return msgspec.structs.replace(parts.manifest, variants=variants)


def names(choice: Any) -> list[str]:
    """Return the usable variants' names in order."""
    return [variant.name for variant in choice.usable]


@pytest.mark.parametrize(
    ("at", "usable"),
    [
        (machine(PI_4), ["cpu-u8s8", "fp32"]),
        (machine(PI_5), ["cpu-fp16", "cpu-u8s8", "fp32"]),
        (machine(PC), ["cpu-u8s8", "avx2-only", "fp32"]),
        (machine(replace(PC, machine="AMD64")), ["cpu-u8s8", "avx2-only", "fp32"]),
        (machine(replace(PC, features=frozenset())), ["cpu-u8s8", "fp32"]),
        (machine(PI_2), ["fp32"]),
        (machine(ORIN), ["cpu-fp16", "cpu-u8s8", "fp32"]),
        (machine(ORIN, *TRT), ["trt-s8s8", "trt-fp16", "cuda-fp16", "cpu-fp16", "cpu-u8s8", "fp32"]),
        (machine(NANO, *TRT), ["trt-fp16", "cuda-fp16", "cpu-u8s8", "fp32"]),
        (machine(PC, engines={"onnxruntime": None, "openvino": None}),
         ["openvino-u8s8", "cpu-u8s8", "avx2-only", "fp32"]),
    ],
    ids=["Pi 4", "Pi 5", "PC", "PC by another name", "silent kernel", "32 bit", "Orin, stock wheel", "Orin",
         "Jetson Nano", "PC with OpenVINO"],
)  # fmt: skip
def test_a_machine_is_offered_what_it_can_serve(manifest: Manifest, at: Machine, usable: list[str]) -> None:
    """Architecture, processor features, engines and providers decide; the package's order stays."""
    choice = choose(manifest, at, Wishes())
    assert names(choice) == usable
    assert {one.name for one in choice.skipped} == {one.name for one in manifest.variants} - {*usable}


@pytest.mark.parametrize(
    ("at", "name", "words"),
    [
        (machine(PI_4), "avx2-only", "it is for x86_64, and this machine is aarch64"),
        (machine(PI_4), "cpu-fp16", "it needs asimdhp, which this processor has not"),
        (machine(replace(PC, features=frozenset())), "avx2-only", "the kernel names none"),
        (machine(PI_2), "cpu-u8s8", "install a 64-bit system"),
        (machine(PC), "openvino-u8s8", "pip install 'edgeopt[openvino]'"),
        (machine(PC, engines={"onnxruntime": None}), "openvino-u8s8", "knows no engine openvino"),
        (machine(PC), "trt-s8s8", "has no TensorrtExecutionProvider"),
        (machine(NANO, *TRT), "trt-s8s8", "takes float16"),
    ],
)
def test_every_other_one_has_its_reason(manifest: Manifest, at: Machine, name: str, words: str) -> None:
    """In words that say what would have to change."""
    [reason] = [one.reason for one in choose(manifest, at, Wishes()).skipped if one.name == name]
    assert words in reason


def test_a_name_pins_the_variant(manifest: Manifest) -> None:
    """The others stand back, and say so; a name the package does not know is an error with the nearest one."""
    choice = choose(manifest, machine(PC), Wishes(variant="fp32"))
    assert names(choice) == ["fp32"]
    assert "the configuration asks for fp32" in {one.reason for one in choice.skipped}
    with pytest.raises(BadInput) as caught:
        choose(manifest, machine(PC), Wishes(variant="cpu-u8u8"))
    assert caught.value.code == "E-PIPELINE-VARIANT"
    assert "did you mean 'cpu-u8s8'" in caught.value.fix


def test_engines_can_be_limited(manifest: Manifest) -> None:
    """An engine that is installed but not wanted does not serve."""
    at = machine(PC, engines={"onnxruntime": None, "openvino": None})
    assert names(choose(manifest, at, Wishes(engines=("openvino",)))) == ["openvino-u8s8"]


def test_providers_are_taken_in_the_order_asked_for(manifest: Manifest) -> None:
    """What is not asked for does not serve, though the package prefers it."""
    wishes = Wishes(providers=("cpu", "cuda"))
    usable = names(choose(manifest, machine(ORIN, *TRT), wishes))
    assert usable == ["cpu-fp16", "cpu-u8s8", "fp32", "cuda-fp16"]


def test_a_provider_asked_for_and_absent_is_an_error(manifest: Manifest) -> None:
    """Not a silent start on the processor: the error says how to install it, and what would allow the processor."""
    with pytest.raises(EnvironmentFault) as caught:
        choose(manifest, machine(PC), Wishes(providers=("cuda",)))
    assert caught.value.code == "E-PROVIDER-MISSING"
    assert "onnxruntime-gpu" in caught.value.fix
    assert 'fallback = "allowed"' in caught.value.fix


def test_an_allowed_fallback_lets_the_processor_s_variants_in(manifest: Manifest) -> None:
    """Those of the provider that is asked for are tried first all the same."""
    usable = names(choose(manifest, machine(PC), Wishes(providers=("cuda",), fallback=True)))
    assert usable == ["cuda-fp16", "cpu-u8s8", "avx2-only", "fp32"]


def test_one_of_several_providers_is_enough(manifest: Manifest) -> None:
    """A list that ends with the processor is a fallback of its own."""
    assert names(choose(manifest, machine(PC), Wishes(providers=("cuda", "cpu")))) == ["cpu-u8s8", "avx2-only", "fp32"]
