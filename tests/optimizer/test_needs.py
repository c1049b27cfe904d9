"""What a form asks of the machine that serves it, from the scheme to the package's manifest."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import prepared

import optimizer
from devices.profile import Device
from edge_runtime.package.manifest import Needs
from optimizer.needs import needs_of, provider_of
from optimizer.schemes import (
    TENSORRT_FLOAT16,
    Float16,
    Int4Weights,
    Int8Dynamic,
    Int8Static,
    Int8StaticSymmetric,
    Int8Weights,
    Scheme,
)

ARM = Device("board", "a board", "aarch64", "asimddp", "test")
RISC = Device("board", "a board", "riscv64", "", "test")
BOTH = Needs(isa=("x86_64", "aarch64"))


@pytest.mark.parametrize(
    ("scheme", "provider", "needs"),
    [
        (None, "cpu", Needs()),
        (Int8Static(), "cpu", BOTH),
        (Int8Dynamic(), "cpu", BOTH),
        (Int8Weights(), "cpu", Needs()),
        (Int4Weights(), "cpu", Needs()),
        (Float16(), "cpu", Needs(isa=("aarch64",), features=("asimdhp",))),
        (TENSORRT_FLOAT16, "tensorrt", Needs()),
        (Int8StaticSymmetric(), "tensorrt", Needs()),
    ],
)
def test_a_form_asks_for_what_it_needs(scheme: Scheme | None, provider: str, needs: Needs) -> None:
    """Integers for processors they are known on, float16 for those that compute in it, a GPU's forms for TensorRT."""
    assert (provider_of(scheme), needs_of(scheme, ARM)) == (provider, needs)


def test_what_was_built_for_a_machine_may_serve_on_it() -> None:
    """Also where nobody has compared its int8 kernels yet: its golden samples were computed there."""
    assert needs_of(Int8Static(), RISC).isa == ("x86_64", "aarch64", "riscv64")


def test_a_package_says_what_its_variant_needs(tmp_path: Path) -> None:
    """The manifest's variant carries provider and needs of the form that was chosen."""
    result = optimizer.optimize(prepared(tmp_path) / "net.onnx", tmp_path / "calib.npz", effort="quick")
    [variant] = result.manifest.variants
    assert (variant.engine, variant.provider) == ("onnxruntime", "cpu")
    assert variant.needs == needs_of(result.chosen.scheme, ARM)
