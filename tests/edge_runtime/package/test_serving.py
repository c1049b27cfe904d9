"""From a package file to an engine that has proved itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edge_runtime.errors import BadInput, Refused
from edge_runtime.inference.engine import Tensor
from edge_runtime.package import archive
from edge_runtime.package.serving import load_for_serving


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
