"""How two models or packages differ: what they are, what was recorded of them, and what they answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from benchmarks.inputs import synthetic_feeds
from edge_runtime.errors import BadInput
from edge_runtime.inference import engines
from edge_runtime.inference.batch import run_all
from edge_runtime.inference.engine import Array, Engine, Feeds, Tensor
from edge_runtime.inference.ort import OrtEngine, SessionSettings
from edge_runtime.package import archive, golden
from edge_runtime.package.manifest import Manifest, Variant
from optimizer.load import load_model

_NOISE_SAMPLES = 8


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        path: The file.
        size: Bytes of the model, external data included.
        model: The model, of a package its first variant.
        engine: The same, loaded as it is served.
        manifest: Of a package; None for a bare model.
        golden_inputs: A package's golden inputs where they are real samples, else None.
    """

    path: Path
    size: int
    model: onnx.ModelProto
    engine: Engine
    manifest: Manifest | None = None
    golden_inputs: Feeds | None = None

    @property
    def variant(self) -> Variant | None:
        """Return what a package recorded of its first variant: precision, accuracy, latency."""
        return self.manifest.variants[0] if self.manifest is not None else None


@dataclass(frozen=True)
class OutputDifference:
    """How one output differs between the two, on the same inputs.

    Attributes:
        name: The output.
        largest: Largest absolute difference; infinity where NaN or infinity stand in one and not in the other.
        sqnr_db: Signal of the first over the difference, in decibels; infinity where they are equal, None where the
            first is silent or the values are no numbers to subtract.
        agreement: Share of samples with the same largest score, None where an output is not one row of scores.
        samples: Number of samples.
    """

    name: str
    largest: float
    sqnr_db: float | None
    agreement: float | None
    samples: int


@dataclass(frozen=True)
class Comparison:
    """Both sides and what differs.

    Attributes:
        first: The reference.
        second: What is compared with it.
        inputs_from: Where the common inputs came from, in words.
        outputs: Differences, for outputs of the same name.
        not_compared: What could not be compared, and why, one sentence each.
    """

    first: Side
    second: Side
    inputs_from: str
    outputs: tuple[OutputDifference, ...]
    not_compared: tuple[str, ...]


def compare_files(first: Path, second: Path, shapes: Mapping[str, Sequence[int]] | None = None) -> Comparison:
    """Load both and run them on the same inputs: golden samples of the first that has real ones, else seeded noise.

    Args:
        first: The reference.
        second: What is compared with it.
        shapes: Input name -> full shape of the noise, for open dimensions that should not be guessed.

    Raises:
        BadInput: a file is missing, or is no model or package; E-MODEL-SHAPE, no shape was found that it runs with.
    """
    sides = (open_side(first), open_side(second))
    problem = _different_inputs(*sides)
    if problem is not None:
        return Comparison(*sides, "no common inputs", (), (f"outputs: {problem}",))
    source, feeds = _common_inputs(*sides, shapes)
    try:
        expected, actual = (run_all(side.engine, feeds) for side in sides)
    except BadInput as error:
        return Comparison(*sides, source, (), (f"outputs: they do not both run on the same inputs: {error.message}",))
    pairs = [(name, expected[name], actual[name]) for name in expected if name in actual]
    missing = [f"output {name}: only one of the two has it" for name in sorted(set(expected) ^ set(actual))]
    missing += [
        f"output {name}: shapes {list(a.shape)} and {list(b.shape)}" for name, a, b in pairs if a.shape != b.shape
    ]
    outputs = tuple(difference(name, a, b) for name, a, b in pairs if a.shape == b.shape)
    return Comparison(*sides, source, outputs, tuple(missing))


def open_side(path: Path) -> Side:
    """Load a model or the first variant of a package, verified.

    Raises:
        BadInput: the file is missing or is neither.
    """
    if not archive.is_package(path):
        loaded = load_model(path)
        return Side(path, loaded.file_bytes, onnx.load_model_from_string(loaded.data), OrtEngine(loaded.data))
    package = archive.read(path)
    manifest, variant = package.manifest, package.manifest.variants[0]
    data = package.members[variant.file]
    engine = engines.load(variant.engine, data, SessionSettings(config=variant.session))
    samples = golden.inputs_of(variant, package.members[manifest.golden.file])
    real = None if manifest.golden.synthetic else samples
    return Side(path, len(data), onnx.load_model_from_string(data), engine, manifest, real)


def difference(name: str, expected: Array, actual: Array) -> OutputDifference:
    """Return how two arrays of one shape differ, samples along the first axis."""
    samples = len(expected) if expected.ndim else 1
    if not (_is_number(expected) and _is_number(actual)):
        equal = np.array_equal(expected, actual)
        return OutputDifference(name, 0.0 if equal else math.inf, None, None, samples)
    agreement = None
    if expected.ndim == 2 and expected.shape[1] > 1:
        agreement = float((expected.argmax(axis=1) == actual.argmax(axis=1)).mean())
    signal, other = expected.astype(np.float64), actual.astype(np.float64)
    finite = np.isfinite(signal) & np.isfinite(other)
    same = (signal == other) | (np.isnan(signal) & np.isnan(other))
    if not (finite | same).all():
        return OutputDifference(name, math.inf, None, agreement, samples)
    noise = np.subtract(signal, other, where=finite, out=np.zeros_like(signal))
    largest = float(np.abs(noise).max(initial=0.0))
    return OutputDifference(name, largest, sqnr(signal[finite], noise), agreement, samples)


def sqnr(signal: Array, noise: Array) -> float | None:
    """Return 10 log10(sum of signal squared / sum of noise squared); infinity without noise, None without signal."""
    power, lost = float(np.sum(signal**2)), float(np.sum(noise**2))
    if lost == 0.0:
        return math.inf
    return 10 * math.log10(power / lost) if power > 0 else None


def _is_number(array: Array) -> bool:
    return bool(np.issubdtype(array.dtype, np.number)) and not np.issubdtype(array.dtype, np.complexfloating)


def _different_inputs(first: Side, second: Side) -> str | None:
    """Return why the two cannot be fed the same, None where they can."""
    own, other = ({tensor.name: tensor for tensor in side.engine.inputs} for side in (first, second))
    if set(own) == set(other) and all(_alike(own[name], other[name]) for name in own):
        return None
    return f"the inputs differ: {_tensors(first.engine.inputs)} against {_tensors(second.engine.inputs)}"


def _alike(own: Tensor, other: Tensor) -> bool:
    """Tell whether one array may fit both: the same type and rank, and no size behind the first fixed differently."""
    sizes = zip(own.shape[1:], other.shape[1:], strict=False)
    clash = any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in sizes)
    return own.dtype == other.dtype and len(own.shape) == len(other.shape) and not clash


def _tensors(tensors: Sequence[Tensor]) -> str:
    return "; ".join(str(tensor) for tensor in tensors)


def _common_inputs(first: Side, second: Side, shapes: Mapping[str, Sequence[int]] | None) -> tuple[str, Feeds]:
    for side in (first, second):
        if side.golden_inputs is not None:
            return f"the golden samples of {side.path}", side.golden_inputs
    return "seeded noise", synthetic_feeds(first.engine, shapes, batch=_NOISE_SAMPLES)
