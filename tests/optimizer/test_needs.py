"""What a form asks of the machine that serves it, from the scheme to the package's manifest."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import prepared

import optimizer
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


@pytest.mark.parametrize(
    ("scheme", "provider", "needs"),
    [
        (None, "cpu", Needs()),
        (Int8Static(), "cpu", Needs()),
        (Int8Dynamic(), "cpu", Needs()),
        (Int8Weights(), "cpu", Needs()),
        (Int4Weights(), "cpu", Needs()),
        (Float16(), "cpu", Needs(isa=("aarch64",), features=("asimdhp",))),
        (TENSORRT_FLOAT16, "tensorrt", Needs(isa=("x86_64", "aarch64"))),
        (Int8StaticSymmetric(), "tensorrt", Needs(isa=("x86_64", "aarch64"))),
    ],
)
def test_a_form_asks_for_what_it_needs(scheme: Scheme | None, provider: str, needs: Needs) -> None:
    """Float16 for processors that compute in it, a GPU's forms for TensorRT; integers are told by their sums."""
    assert (provider_of(scheme), needs_of(scheme)) == (provider, needs)


def test_a_package_says_what_its_variants_run_on(tmp_path: Path) -> None:
    """The manifest's variants carry the provider of the forms that were chosen."""
    result = optimizer.optimize(prepared(tmp_path) / "net.onnx", tmp_path / "calib.npz", effort="quick")
    assert {variant.provider for variant in result.manifest.variants} == {"cpu"}
