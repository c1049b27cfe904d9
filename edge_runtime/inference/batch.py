"""Running many samples through an engine whose batch dimension may be fixed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge_runtime.inference.engine import Array, Engine, Feeds


def batch_size_of(engine: Engine, wanted: int) -> int:
    """Return `wanted` where every input takes any batch, else the batch the model fixes."""
    fixed = [tensor.shape[0] for tensor in engine.inputs if tensor.shape and not tensor.has_dynamic_batch()]
    return int(fixed[0]) if fixed else wanted


def batches(feeds: Feeds, size: int) -> Iterator[dict[str, Array]]:
    """Cut arrays of many samples into batches of `size`.

    A fixed batch must be full, so the last one is filled up by repeating its final sample; readers drop the surplus.
    Inputs without a batch dimension (scalars) go along unchanged.
    """
    count = max(len(array) for array in feeds.values() if array.ndim)
    for start in range(0, count, size):
        yield {name: array[start : start + size] if array.ndim else array for name, array in feeds.items()}


def run_all(engine: Engine, feeds: Feeds, wanted: int = 32) -> dict[str, Array]:
    """Run all samples (first axis) through the engine and return the outputs joined along the first axis.

    Args:
        engine: Any engine.
        feeds: Arrays by input name, each with all samples along its first axis.
        wanted: Batch size where the model leaves it open.

    Arrays of different lengths (a recurrent state beside a signal) have no common sample axis and run as one batch.
    """
    if len({len(array) for array in feeds.values() if array.ndim}) != 1:
        return engine.run(feeds)
    size = batch_size_of(engine, wanted)
    collected: dict[str, list[Array]] = {}
    for batch in batches(feeds, size):
        length = max(len(array) for array in batch.values() if array.ndim)
        for name, output in engine.run({key: _fill(array, size, engine) for key, array in batch.items()}).items():
            collected.setdefault(name, []).append(output[:length] if output.ndim else output.reshape(1))
    return {name: np.concatenate(parts) for name, parts in collected.items()}


def _fill(array: Array, size: int, engine: Engine) -> Array:
    fixed = not all(tensor.has_dynamic_batch() for tensor in engine.inputs if tensor.shape)
    if not fixed or not array.ndim or len(array) >= size:
        return array
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])
