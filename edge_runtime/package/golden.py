"""Golden samples: the proof, on this very machine, that a variant computes what it computed where it was built."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import Refused
from edge_runtime.inference.batch import count_samples, run_all
from edge_runtime.inference.engine import Array, Engine
from edge_runtime.package import stored_zip
from edge_runtime.package.manifest import Tolerance, Variant

FIX = "do not serve this package on this machine; build it for this target: edgeopt quantize MODEL --target …"


@dataclass(frozen=True)
class GoldenResult:
    """How close a variant came: samples checked and the largest distance as a share of what is allowed (<= 1)."""

    samples: int
    worst: float


def encode(
    inputs: Mapping[str, Array],
    outputs: Mapping[str, Mapping[str, Array]],
    windows: Mapping[str, Array] | None = None,
) -> bytes:
    """Return golden inputs and every variant's outputs as the bytes of an .npz without pickles.

    Args:
        inputs: By name, as the model takes them.
        outputs: By variant and name.
        windows: The raw windows whose features are the inputs, by the inputs' names; None where the model takes no
            features.
    """
    arrays = {f"input/{name}": array for name, array in inputs.items()}
    arrays.update({f"window/{name}": array for name, array in (windows or {}).items()})
    for variant, by_name in outputs.items():
        arrays.update({f"output/{variant}/{name}": array for name, array in by_name.items()})
    return stored_zip.pack({f"{key}.npy": _array_bytes(array) for key, array in sorted(arrays.items())})


def check(engine: Engine, variant: Variant, data: bytes) -> GoldenResult:
    """Run the golden inputs and compare.

    Raises:
        Refused: E-GOLDEN-MISMATCH, an output is missing, has another shape, is not finite where it was, or is too far;
            E-GOLDEN-UNREADABLE, the samples are no arrays.
        BadInput: E-INFERENCE, the model does not run on the samples.
    """
    return compare(variant, run_all(engine, inputs_of(variant, data)), data)


def compare(variant: Variant, actual: Mapping[str, Array], data: bytes) -> GoldenResult:
    """Compare what a variant computed of the golden inputs, here or elsewhere; see `check` for errors."""
    arrays = _decode(data)
    expected = _below(f"output/{variant.name}/", arrays)
    if not expected or set(expected) != set(actual):
        raise _mismatch(variant, f"outputs {sorted(actual)} instead of {sorted(expected)}")
    worst = max(_distance(variant, name, actual[name], expected[name]) for name in expected)
    if worst > 1.0:
        raise _mismatch(variant, f"an output lies {worst:.3g} times the allowed distance from its golden value")
    return GoldenResult(count_samples(_below("input/", arrays)), worst)


def inputs_of(variant: Variant, data: bytes) -> dict[str, Array]:
    """Return the golden inputs by name.

    Raises:
        Refused: E-GOLDEN-UNREADABLE, the samples are no arrays.
    """
    return _below("input/", _decode(data))


def windows_and_inputs(data: bytes) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the raw windows by name, none where the package has no features, and the golden inputs.

    Raises:
        Refused: E-GOLDEN-UNREADABLE, the samples are no arrays.
    """
    arrays = _decode(data)
    return _below("window/", arrays), _below("input/", arrays)


def tolerance_for(outputs: Mapping[str, Array], share: float, relative: float) -> Tolerance:
    """Return a tolerance whose absolute part is `share` of the largest finite output magnitude."""
    floats = [array[np.isfinite(array)] for array in outputs.values() if _is_float(array)]
    largest = max((float(np.abs(values).max(initial=0.0)) for values in floats), default=0.0)
    return Tolerance(absolute=share * largest, relative=relative)


def _array_bytes(array: Array) -> bytes:
    member = io.BytesIO()
    np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    return member.getvalue()


def unreadable(why: str) -> Refused:
    """Return the error of golden samples that nothing can be compared with."""
    return Refused("E-GOLDEN-UNREADABLE", f"the golden samples cannot be read: {why}", FIX)


def _decode(data: bytes) -> dict[str, Array]:
    try:
        members = stored_zip.unpack(data)
        if not stored_zip.is_canonical(members, data):
            raise ValueError("the archive's structure is not the one edgeopt writes")
        return {
            name.removesuffix(".npy"): np.lib.format.read_array(io.BytesIO(member), allow_pickle=False)
            for name, member in members.items()
        }
    except (MemoryError, ValueError) as error:  # an array's header may claim any size
        raise unreadable(str(error)) from error


def _below(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}


def _distance(variant: Variant, name: str, actual: Array, expected: Array) -> float:
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        raise _mismatch(variant, f"output {name} is {actual.dtype}{actual.shape}, not {expected.dtype}{expected.shape}")
    if not _is_float(expected):
        return 0.0 if np.array_equal(actual, expected) else float("inf")
    finite = np.isfinite(expected)
    # NaN and infinity have no distance: they must stand where they stood.
    same = np.array_equal(actual[~finite], expected[~finite], equal_nan=True)
    if not same or not np.isfinite(actual[finite]).all():
        raise _mismatch(variant, f"output {name} has NaN or infinity in other places than its golden value")
    golden = expected[finite].astype(np.float64)
    allowed = variant.tolerance.absolute + variant.tolerance.relative * np.abs(golden)
    difference = np.abs(actual[finite].astype(np.float64) - golden)
    ratios = np.divide(difference, allowed, out=np.where(difference > 0, np.inf, 0.0), where=allowed > 0)
    return float(ratios.max(initial=0.0))


def _is_float(array: Array) -> bool:
    return bool(np.issubdtype(array.dtype, np.floating))


def _mismatch(variant: Variant, what: str) -> Refused:
    return Refused("E-GOLDEN-MISMATCH", f"variant {variant.name} fails its golden samples: {what}", FIX)
