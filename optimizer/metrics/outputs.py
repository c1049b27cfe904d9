"""Which of a model's outputs a metric looks at, and what it takes from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array

ALL_OUTPUTS = "*"  # as --score-output: a user's own metric gets every output, by name

# What a metric looks at, samples first: one array, or every output by name.
Viewed: TypeAlias = "Array | dict[str, Array]"
Reader: TypeAlias = Callable[[Mapping[str, Array]], Viewed]


@dataclass(frozen=True)
class OneOutput:
    """Takes one output as it is."""

    name: str

    def __call__(self, outputs: Mapping[str, Array]) -> Array:
        """Return that output."""
        return outputs[self.name]


@dataclass(frozen=True)
class EveryOutput:
    """Takes all outputs, by name."""

    def __call__(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return all outputs."""
        return dict(outputs)


def read_score_output(outputs: Mapping[str, Array], wanted: str | None) -> Reader:
    """Look at the output asked for, else the first with floating-point values; see `score_output` for errors."""
    return OneOutput(name_of_score_output(outputs, wanted))


def read_for_user(outputs: Mapping[str, Array], wanted: str | None) -> Reader:
    """Look at every output where the user asks for ``*``, else at one."""
    return EveryOutput() if wanted == ALL_OUTPUTS else read_score_output(outputs, wanted)


def score_output(outputs: Mapping[str, Array], wanted: str | None = None) -> Array:
    """Return the output a metric looks at: the one asked for, else the first with floating-point values.

    Raises:
        BadInput: E-METRIC-OUTPUT, there is no such output.
    """
    return outputs[name_of_score_output(outputs, wanted)]


def name_of_score_output(outputs: Mapping[str, Array], wanted: str | None) -> str:
    """Return its name; see `score_output`."""
    name = wanted or next(iter(float_outputs(outputs)), None)
    if name is None or name not in outputs:
        raise BadInput(
            "E-METRIC-OUTPUT",
            f"there is no output {wanted or 'with floating-point values'} (outputs: {', '.join(outputs)})",
            "name one of the model's outputs: --score-output NAME",
        )
    return name


def float_outputs(outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return the outputs with floating-point values."""
    return {name: array for name, array in outputs.items() if np.issubdtype(array.dtype, np.floating)}


def joined(parts: Sequence[Viewed]) -> Viewed:
    """Join what was read batch by batch.

    Raises:
        BadInput: E-METRIC-SHAPE, the output's size changes from batch to batch.
    """
    first = parts[0]
    if isinstance(first, dict):
        names = list(first)
        return {name: _concatenated(name, [part[name] for part in parts if isinstance(part, dict)]) for name in names}
    return _concatenated("the metric looks at", [part for part in parts if not isinstance(part, dict)])


def picked(viewed: Viewed, samples: Array) -> Viewed:
    """Return those samples."""
    if isinstance(viewed, dict):
        return {name: array[samples] for name, array in viewed.items()}
    return viewed[samples]


def read_only(viewed: Viewed) -> Viewed:
    """Return views that cannot be written through."""
    if isinstance(viewed, dict):
        return {name: _frozen(array) for name, array in viewed.items()}
    return _frozen(viewed)


def _frozen(array: Array) -> Array:
    view = array.view()
    view.flags.writeable = False
    return view


def _concatenated(name: str, parts: Sequence[Array]) -> Array:
    shapes = sorted({part.shape[1:] for part in parts})
    if len(shapes) > 1:
        raise BadInput(
            "E-METRIC-SHAPE",
            f"output {name} has another size for other samples: {', '.join(str(list(shape)) for shape in shapes[:3])}",
            "store samples of one size, or name another output: --score-output NAME",
        )
    return np.concatenate(parts)
