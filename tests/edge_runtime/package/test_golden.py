"""Golden samples: a variant that computes anything else than where it was built is refused."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.errors import Refused
from edge_runtime.inference.engine import Feeds, Tensor
from edge_runtime.inference.ort import OrtEngine
from edge_runtime.package import golden, stored_zip
from edge_runtime.package.manifest import Tolerance, Variant

NAN, INF = float("nan"), float("inf")


class Returning:
    """An engine that answers every batch with the same outputs: a machine that computes wrongly, on purpose."""

    def __init__(self, **outputs: object) -> None:
        self._outputs = {name: np.asarray(values) for name, values in outputs.items()}
        self.inputs = (Tensor("x", "float32", ("N", 1)),)
        self.outputs = tuple(Tensor(name, a.dtype.name, a.shape) for name, a in self._outputs.items())

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Return the outputs, whatever is asked."""
        del feeds
        return self._outputs


def variant(absolute: float = 0.1, relative: float = 0.0) -> Variant:
    """Return a variant with this tolerance."""
    return Variant("v", "variants/v.onnx", "float32", Tolerance(absolute, relative))


def expecting(**outputs: object) -> bytes:
    """Return golden samples whose outputs are these; a list is as long as there are samples."""
    arrays = {name: np.asarray(values) for name, values in outputs.items()}
    length = max(len(array) for array in arrays.values())
    return golden.encode({"x": np.zeros((length, 1), dtype=np.float32)}, {"v": arrays})


def test_a_machine_that_computes_the_same_passes(parts: Any) -> None:
    """The model that was packed reproduces its own outputs exactly; the number of samples is told."""
    engine = OrtEngine(parts.members["variants/fp32.onnx"])
    result = golden.check(engine, parts.manifest.variants[0], parts.members["golden.npz"])
    assert result == golden.GoldenResult(samples=3, worst=0.0)


def test_a_model_that_computes_something_else_is_refused(parts: Any, doubled: bytes) -> None:
    """A model with another weight, same inputs and outputs, fails and the message says by how much."""
    with pytest.raises(Refused) as caught:
        golden.check(OrtEngine(doubled), parts.manifest.variants[0], parts.members["golden.npz"])
    assert caught.value.code == "E-GOLDEN-MISMATCH"
    assert "times the allowed distance" in caught.value.message


@pytest.mark.parametrize(
    ("actual", "expected", "tolerance", "share"),
    [
        ([1.05], [1.0], (0.1, 0.0), 0.5),
        ([11.0], [10.0], (0.0, 0.2), 0.5),
        ([11.0], [10.0], (1.0, 0.1), 0.5),
        ([1.0, 3.5], [1.0, 3.0], (1.0, 0.0), 0.5),
        ([7.0], [7.0], (0.0, 0.0), 0.0),
        ([NAN, INF, -INF], [NAN, INF, -INF], (0.1, 0.0), 0.0),
    ],
)
def test_distance_is_a_share_of_what_is_allowed(
    actual: list[float], expected: list[float], tolerance: tuple[float, float], share: float
) -> None:
    """Absolute and relative tolerance add up; the worst element counts; values that are not numbers must agree."""
    result = golden.check(Returning(y=actual), variant(*tolerance), expecting(y=expected))
    assert result.worst == pytest.approx(share)


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        ([1.2], [1.0]),
        ([NAN], [1.0]),
        ([1.0], [NAN]),
        ([INF], [1.0]),
        ([INF], [-INF]),
        ([NAN], [INF]),
        ([1.0, 1.0], [1.0]),
        (np.array([1.0], dtype=np.float32), np.array([1.0])),
        (np.array([3]), np.array([4])),
        (np.array(["ok"]), np.array(["alarm"])),
    ],
    ids=str,
)
def test_what_lies_too_far_is_refused(actual: object, expected: object) -> None:
    """Too far, NaN or infinity in other places, other shape, other type, another class: all mismatches."""
    with pytest.raises(Refused) as caught:
        golden.check(Returning(y=actual), variant(), expecting(y=expected))
    assert caught.value.code == "E-GOLDEN-MISMATCH"


def test_without_any_tolerance_any_difference_is_infinitely_far() -> None:
    """A tolerance of zero asks for bit equality and divides by nothing."""
    with pytest.raises(Refused, match="inf times"):
        golden.check(Returning(y=[1.0000001]), variant(0.0, 0.0), expecting(y=[1.0]))


@pytest.mark.parametrize("outputs", [{}, {"z": [1.0]}, {"y": [1.0], "z": [1.0]}])
def test_other_outputs_than_the_golden_ones_are_refused(outputs: Mapping[str, object]) -> None:
    """An output that is missing or new is a mismatch, not a KeyError."""
    with pytest.raises(Refused, match="outputs"):
        golden.check(Returning(**outputs), variant(), expecting(y=[1.0]))


def test_golden_samples_of_another_variant_do_not_count(parts: Any) -> None:
    """A variant without golden outputs of its own has proved nothing."""
    other = msgspec.structs.replace(parts.manifest.variants[0], name="other")
    with pytest.raises(Refused) as caught:
        golden.check(OrtEngine(parts.members["variants/fp32.onnx"]), other, parts.members["golden.npz"])
    assert caught.value.code == "E-GOLDEN-MISMATCH"


def test_numpy_reads_the_samples(parts: Any) -> None:
    """The member is an ordinary .npz that loads without pickles."""
    with np.load(io.BytesIO(parts.members["golden.npz"]), allow_pickle=False) as arrays:
        assert np.array_equal(arrays["input/x"], parts.inputs["x"])
        assert np.array_equal(arrays["output/fp32/y"], parts.outputs["y"])


def test_the_same_samples_give_the_same_bytes(parts: Any) -> None:
    """No time stamps and a fixed order: packages can be rebuilt bit by bit."""
    again = golden.encode(dict(reversed(parts.inputs.items())), {"fp32": parts.outputs})
    assert again == parts.members["golden.npz"]


def header(description: str) -> bytes:
    """Return an .npy file that claims this and holds nothing."""
    text = description.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no zip",
        stored_zip.pack({"input/x.npy": b"no array"}),
        stored_zip.pack({"input/x.npy": header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}")}),
        stored_zip.pack({"input/x.npy": header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}")}),
        stored_zip.pack({"input/x.npy": header("__import__('os')")}),
        stored_zip.pack({"input/x.npy": header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}")}),
    ],
    ids=["empty", "no zip", "no array", "larger than memory", "pickle", "code", "negative"],
)
def test_samples_that_are_no_arrays_are_refused(data: bytes) -> None:
    """Whatever a hostile package puts there: refused, nothing unpickled or evaluated, no memory taken."""
    with pytest.raises(Refused) as caught:
        golden.check(Returning(y=[1.0]), variant(), data)
    assert caught.value.code == "E-GOLDEN-UNREADABLE"


def test_compressed_samples_are_refused(parts: Any) -> None:
    """The compressed form of numpy form could grow a thousandfold while it is read."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{"input/x": parts.inputs["x"]})
    with pytest.raises(Refused, match="compressed"):
        golden.check(Returning(y=[1.0]), variant(), buffer.getvalue())


def test_tolerance_follows_the_largest_finite_output() -> None:
    """The absolute part is a share of the largest float magnitude; integers and infinities do not count."""
    outputs = {"y": np.array([1.0, -4.0, INF, NAN]), "label": np.array([100])}
    assert golden.tolerance_for(outputs, share=0.01, relative=0.5) == Tolerance(absolute=0.04, relative=0.5)
    assert golden.tolerance_for({"label": np.array([100])}, 0.01, 0.5) == Tolerance(absolute=0.0, relative=0.5)
