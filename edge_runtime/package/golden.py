"""Golden samples: the proof, on this very machine, that a variant computes what it computed where it was built."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import Refused
from edge_runtime.inference.batch import run_all
from edge_runtime.inference.engine import Array, Engine
from edge_runtime.package.manifest import Tolerance, Variant

_FIX = "do not serve this package on this machine; build it for this target: edgeopt quantize MODEL --target …"


@dataclass(frozen=True)
class GoldenResult:
    """How close a variant came: samples checked and the largest distance as a share of what is allowed (<= 1)."""

    samples: int
    worst: float


def encode(inputs: Mapping[str, Array], outputs: Mapping[str, Mapping[str, Array]]) -> bytes:
    """Return golden inputs and every variant's outputs as the bytes of an .npz without pickles."""
    arrays = {f"input/{name}": array for name, array in inputs.items()}
    for variant, by_name in outputs.items():
        arrays.update({f"output/{variant}/{name}": array for name, array in by_name.items()})
    buffer = io.BytesIO()
    # numpy's savez stamps members with the current time; a fixed date keeps packages reproducible.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for key, array in sorted(arrays.items()):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{key}.npy", (1980, 1, 1, 0, 0, 0)), member.getvalue())
    return buffer.getvalue()


def check(engine: Engine, variant: Variant, data: bytes) -> GoldenResult:
    """Run the golden inputs and compare.

    Raises:
        Refused: E-GOLDEN-MISMATCH, an output is missing, has another shape, is not finite where it was, or is too far.
    """
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        inputs = {key.removeprefix("input/"): arrays[key] for key in arrays.files if key.startswith("input/")}
        prefix = f"output/{variant.name}/"
        expected = {key.removeprefix(prefix): arrays[key] for key in arrays.files if key.startswith(prefix)}
    actual = run_all(engine, inputs)
    if not expected or set(expected) != set(actual):
        raise _mismatch(variant, f"outputs {sorted(actual)} instead of {sorted(expected)}")
    worst = max(_distance(variant, name, actual[name], expected[name]) for name in expected)
    if worst > 1.0:
        raise _mismatch(variant, f"an output lies {worst:.3g} times the allowed distance from its golden value")
    samples = max((len(array) for array in inputs.values() if array.ndim), default=1)
    return GoldenResult(samples, worst)


def tolerance_for(outputs: Mapping[str, Array], share: float, relative: float) -> Tolerance:
    """Return a tolerance whose absolute part is `share` of the largest finite output magnitude."""
    floats = [array[np.isfinite(array)] for array in outputs.values() if _is_float(array)]
    largest = max((float(np.abs(values).max(initial=0.0)) for values in floats), default=0.0)
    return Tolerance(absolute=share * largest, relative=relative)


def _distance(variant: Variant, name: str, actual: Array, expected: Array) -> float:
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        raise _mismatch(variant, f"output {name} is {actual.dtype}{actual.shape}, not {expected.dtype}{expected.shape}")
    if not _is_float(expected):
        return 0.0 if np.array_equal(actual, expected) else float("inf")
    finite = np.isfinite(expected)
    if not np.array_equal(np.isfinite(actual), finite):
        raise _mismatch(variant, f"output {name} is not finite where it should be")
    allowed = variant.tolerance.absolute + variant.tolerance.relative * np.abs(expected[finite])
    difference = np.abs(actual[finite].astype(np.float64) - expected[finite])
    ratios = np.divide(difference, allowed, out=np.where(difference > 0, np.inf, 0.0), where=allowed > 0)
    return float(ratios.max(initial=0.0))


def _is_float(array: Array) -> bool:
    return bool(np.issubdtype(array.dtype, np.floating))


def _mismatch(variant: Variant, what: str) -> Refused:
    return Refused("E-GOLDEN-MISMATCH", f"variant {variant.name} fails its golden samples: {what}", _FIX)
