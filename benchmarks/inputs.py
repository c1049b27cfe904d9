"""Inputs for measuring a model when its user gave none: right in shape and dtype, worthless for judging accuracy."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array, Engine, Tensor

# Sizes tried, in this order, for dimensions the model leaves open: common image sides and windows.
_OPEN_SIZES = (224, 128, 64, 32, 16, 256, 512, 640, 1)
_MOST_SEARCHED = 3  # more open dimensions than this all get the same size, or the search would take minutes


def synthetic_feeds(
    engine: Engine, shapes: Mapping[str, Sequence[int]] | None = None, seed: int = 0, batch: int = 1
) -> dict[str, Array]:
    """Return one batch of seeded noise that the engine accepts; equal inputs get equal noise.

    Args:
        engine: The loaded model; candidates for open dimensions are tried on it until one runs.
        shapes: Input name -> full shape, batch included, for inputs whose open dimensions should not be guessed.
        seed: Seed of the noise.
        batch: Samples, for inputs whose first dimension is open.

    Raises:
        BadInput: E-MODEL-SHAPE, no size tried runs; or a shape was given for an input that does not exist.
    """
    given = dict(shapes or {})
    unknown = set(given) - {tensor.name for tensor in engine.inputs}
    if unknown:
        raise _no_shape(engine, f"there is no input {', '.join(sorted(unknown))}")
    open_dimensions = sorted(
        {key for tensor in engine.inputs if tensor.name not in given for key in _open_keys(tensor)}
    )
    for sizes in _candidate_sizes(open_dimensions):
        feeds = {t.name: _noise(t, _closed(t, sizes, given.get(t.name), batch), seed) for t in engine.inputs}
        try:
            engine.run(feeds)
        except BadInput:
            continue
        return feeds
    raise _no_shape(engine, "the model runs with none of the sizes tried for its open dimensions")


def _open_keys(tensor: Tensor) -> list[str]:
    """Name each open dimension behind the first: equal names share a size, nameless ones are told apart by place."""
    named = enumerate(tensor.shape[1:], start=1)
    return [f"{tensor.name}[{axis}]" if size == "?" else size for axis, size in named if isinstance(size, str)]


def _candidate_sizes(open_dimensions: Sequence[str]) -> Iterator[dict[str, int]]:
    if len(open_dimensions) > _MOST_SEARCHED:
        yield from (dict.fromkeys(open_dimensions, size) for size in _OPEN_SIZES)
        return
    for sizes in itertools.product(_OPEN_SIZES, repeat=len(open_dimensions)):
        yield dict(zip(open_dimensions, sizes, strict=True))


def _closed(tensor: Tensor, sizes: Mapping[str, int], given: Sequence[int] | None, batch: int) -> tuple[int, ...]:
    if given is not None:
        return tuple(given)
    behind = iter(_open_keys(tensor))
    first = tuple(size if isinstance(size, int) else batch for size in tensor.shape[:1])
    return first + tuple(size if isinstance(size, int) else sizes[next(behind)] for size in tensor.shape[1:])


def _noise(tensor: Tensor, shape: tuple[int, ...], seed: int) -> Array:
    generator = np.random.default_rng(seed)
    if tensor.dtype.startswith("float"):
        return generator.standard_normal(shape).astype(tensor.dtype)
    if tensor.dtype == "bool" or tensor.dtype.startswith(("int", "uint")):
        # 0 and 1 are valid in every vocabulary, length and flag.
        return generator.integers(0, 2, shape).astype(tensor.dtype)
    raise BadInput(
        "E-MODEL-INPUT-KIND",
        f"input {tensor} is neither a number nor a flag; edgeopt cannot make one up",
        "remove that input from the model, or cut the model behind it with onnx.utils.extract_model",
    )


def _no_shape(engine: Engine, what: str) -> BadInput:
    inputs = "; ".join(str(tensor) for tensor in engine.inputs)
    first = engine.inputs[0].name if engine.inputs else "NAME"
    return BadInput("E-MODEL-SHAPE", f"{what} (inputs: {inputs})", f"give the shape: --shape {first}=1,3,224,224")
