"""Run the float32 model over the calibration samples and keep a histogram of each tensor a scheme needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from edge_runtime.errors import BadInput
from edge_runtime.inference.batch import batch_size_of, batches, count_samples, fill_up
from edge_runtime.inference.engine import Array
from edge_runtime.inference.ort import OrtEngine, SessionSettings
from optimizer.calibrate.expose import expose, expose_shapes, in_graph_order
from optimizer.calibrate.histogram import Histogram
from optimizer.data import Dataset

MEMORY = 256 << 20  # bytes of activations held at a time
# A batch is as many samples as are still faster together: at most 8, and no more than lie in 16 MiB.
_BATCH = 8
_BATCH_BYTES = 16 << 20
# Values counted per tensor, spread evenly over the samples, of which each gives some: a tail of 0.005 % is then still
# a hundred values. Neighbouring activations resemble each other, so counting all of many samples tells little more.
_VALUES = 1 << 21
_LEAST_PER_SAMPLE = 1 << 10
_SETTINGS = SessionSettings(optimize=False)


def observe(
    data: bytes,
    tensors: Sequence[str],
    samples: Dataset,
    progress: Callable[[int, int], None],
    memory: int | None = None,
) -> dict[str, Histogram]:
    """Return tensor name -> histogram of its values over all samples, and nothing else that grows with them.

    Where the activations of one sample do not fit the memory, the tensors are watched in groups and the samples run
    once for each: k groups need about 1 / k of the memory and k times the time, and give the same histograms.
    Of very many values a regular pick is counted (see `Histogram`), the same however they are cut into batches.

    Args:
        data: The float32 model.
        tensors: Float tensors to watch: inputs, outputs or intermediate results.
        samples: Calibration samples; only slices of a batch are taken of `feeds`.
        progress: Called with (samples done, samples in all); in groups, both count each pass.
        memory: Bytes of watched activations to hold at a time, by default 256 MiB. The least are two batches of one
            tensor, of one sample each where the model leaves the batch open.

    Raises:
        BadInput: E-CALIBRATION-NOT-FINITE, an activation was NaN or infinite; E-MODEL-LOAD, a tensor is none of the
            model's; E-INFERENCE, the model failed on a sample.
    """
    budget = MEMORY if memory is None else memory
    sizes = _bytes_per_sample(data, in_graph_order(data, tensors), samples) if tensors else {}
    groups = _groups(sizes, budget // 2)  # two batches are held: one is run while the other is counted
    most = max(_LEAST_PER_SAMPLE, _VALUES // max(1, len(samples)))
    histograms = {name: Histogram(most) for name in tensors}
    for index, group in enumerate(groups):
        engine = OrtEngine(expose(data, group), _SETTINGS)
        held = max(1, sum(sizes[name] for name in group))
        wanted = max(1, min(_BATCH, min(_BATCH_BYTES, budget // 2) // held))
        done = index * len(samples)
        for count, activations in _run_ahead(engine, samples, wanted):
            for name in group:
                _take_in(histograms[name], activations.pop(name), f"{name} on {samples.source}")
            done += count
            progress(done, len(groups) * len(samples))
    return histograms


def _bytes_per_sample(data: bytes, tensors: Sequence[str], samples: Dataset) -> dict[str, int]:
    """Return the size of each tensor as float32, measured on the first sample, or batch where that is fixed."""
    measuring, names = expose_shapes(data, tensors)
    engine = OrtEngine(measuring, _SETTINGS)
    size = batch_size_of(engine, 1)
    first = next(batches(samples.feeds, size))
    shapes = engine.run(fill_up(first, size - count_samples(first)))
    return {tensor: 4 * int(shapes[name].prod()) for tensor, name in names.items()}


def _groups(sizes: Mapping[str, int], budget: int) -> list[list[str]]:
    """Cut the tensors, in their order, into as few groups as fit the budget each."""
    groups: list[list[str]] = []
    filled = 0
    for name, size in sizes.items():
        if not groups or filled + size > budget:
            groups.append([])
            filled = 0
        groups[-1].append(name)
        filled += size
    return groups


def _run_ahead(engine: OrtEngine, samples: Dataset, wanted: int) -> Iterator[tuple[int, dict[str, Array]]]:
    """Yield (samples, activations) of each batch, while the next one runs in a thread of its own.

    The session computes with one thread and so always the same way; counting and computing overlap instead.
    """
    size = batch_size_of(engine, wanted)
    with ThreadPoolExecutor(max_workers=1) as other:
        pending: Future[tuple[int, dict[str, Array]]] | None = None
        for batch in batches(samples.feeds, size):
            following = other.submit(_run, engine, batch)
            if pending is not None:
                yield pending.result()
            pending = following
        if pending is not None:
            yield pending.result()


def _run(engine: OrtEngine, batch: dict[str, Array]) -> tuple[int, dict[str, Array]]:
    """Run a batch, filled up where the model fixes its size, and drop from the results what filled it."""
    count = count_samples(batch)
    size = batch_size_of(engine, count)
    results = engine.run(fill_up(batch, size - count))
    if size > count:
        # Of a tensor whose first axis is not the batch's, the surplus stays: its last sample counts more than once.
        results = {name: r[:count] if r.ndim and len(r) == size else r for name, r in results.items()}
    return count, results


def _take_in(histogram: Histogram, values: Array, what: str) -> None:
    histogram.update(values)
    if not histogram.finite:
        raise BadInput(
            "E-CALIBRATION-NOT-FINITE",
            f"the model computes NaN or infinity in {what}",
            "check the scale of the calibration data against the training data (0 to 255 or 0 to 1?)",
        )
