"""Running many samples through an engine whose batch dimension may be fixed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge_runtime.inference.engine import Array, Engine, SampleArray, SampleFeeds


def batch_size_of(engine: Engine, wanted: int) -> int:
    """Return `wanted` where every input takes any batch, else the batch the model fixes."""
    fixed = [tensor.shape[0] for tensor in engine.inputs if tensor.shape and not tensor.has_dynamic_batch()]
    return int(fixed[0]) if fixed else wanted


def batches(feeds: SampleFeeds, size: int) -> Iterator[dict[str, Array]]:
    """Cut arrays of many samples into batches of at most `size`; inputs without a batch dimension go along whole."""
    for start in range(0, count_samples(feeds), size):
        yield {name: _part(array, start, start + size) for name, array in feeds.items()}


def _part(array: SampleArray, start: int, stop: int) -> Array:
    return array[start:stop] if array.ndim else np.asarray(array)


def count_samples(feeds: SampleFeeds) -> int:
    """Return the length of the first axis, 1 where no input has one."""
    return max((len(array) for array in feeds.values() if array.ndim), default=1)


def run_all(engine: Engine, feeds: SampleFeeds, wanted: int = 32) -> dict[str, Array]:
    """Run all samples (first axis) through the engine and return the outputs joined along the first axis.

    Where the model fixes its batch, the last one is filled up by repeating its final sample, and the surplus outputs
    are dropped. Inputs are asked for one batch at a time, so those on disk never lie in memory as a whole.

    Args:
        engine: Any engine.
        feeds: Arrays by input name, each with all samples, at least one, along its first axis.
        wanted: Batch size where the model leaves it open.

    Arrays of different lengths (a recurrent state beside a signal) have no common sample axis and run as one batch.
    """
    if len({len(array) for array in feeds.values() if array.ndim}) != 1:
        return engine.run({name: _part(array, 0, len(array) if array.ndim else 0) for name, array in feeds.items()})
    size = batch_size_of(engine, wanted)
    must_fill = any(tensor.shape and not tensor.has_dynamic_batch() for tensor in engine.inputs)
    collected: dict[str, list[Array]] = {}
    for batch in batches(feeds, size):
        missing = size - count_samples(batch) if must_fill else 0
        for name, output in engine.run(fill_up(batch, missing)).items():
            kept = output[: len(output) - missing] if output.ndim else output.reshape(1)
            collected.setdefault(name, []).append(kept)
    return {name: np.concatenate(parts) for name, parts in collected.items()}


def fill_up(batch: dict[str, Array], missing: int) -> dict[str, Array]:
    """Lengthen a batch by repeating its final sample, for a model whose batch must be full."""
    if missing == 0:
        return batch
    return {
        name: np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if array.ndim else array
        for name, array in batch.items()
    }
