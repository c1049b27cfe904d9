"""Batches: cutting, filling and joining changes no result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.errors import BadInput
from edge_runtime.inference.batch import batch_size_of, batches, count_samples, run_all
from edge_runtime.inference.engine import Feeds, Tensor


class Doubling:
    """An engine that doubles ``x``, row by row, and insists on its batch size as a real one does."""

    def __init__(self, batch: int | str) -> None:
        self.inputs = (Tensor("x", "float64", (batch, 3)), Tensor("gain", "float64", ()))
        self.outputs = (Tensor("y", "float64", (batch, 3)), Tensor("total", "float64", (batch,)))
        self.seen: list[int] = []

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Return doubled rows and their sums."""
        rows = len(feeds["x"])
        if self.inputs[0].shape[0] not in {rows, "N"}:
            raise BadInput("E-INFERENCE", "wrong batch", "none")
        self.seen.append(rows)
        y = feeds["x"] * 2 * feeds["gain"]
        return {"y": y, "total": y.sum(axis=1)}


@pytest.mark.parametrize("batch", ["N", 1, 2, 3, 7, 64])
@pytest.mark.parametrize("samples", [1, 2, 3, 5, 6, 7, 8, 31, 64, 65])
@pytest.mark.parametrize("wanted", [1, 4, 32])
def test_all_samples_come_back_in_order_whatever_the_batch(batch: int | str, samples: int, wanted: int) -> None:
    """For every fixed or open batch, number of samples and wish: one result per sample, the right one."""
    x = np.random.default_rng(samples).normal(size=(samples, 3))
    engine = Doubling(batch)
    outputs = run_all(engine, {"x": x, "gain": np.float64(1.5)}, wanted)
    assert np.array_equal(outputs["y"], x * 3.0)
    assert np.array_equal(outputs["total"], (x * 3.0).sum(axis=1))
    if isinstance(batch, int):
        assert set(engine.seen) == {batch}
    else:
        assert max(engine.seen) <= wanted


def test_the_batch_is_the_model_s_where_it_fixes_one() -> None:
    """A wish counts only where the first dimension is open; scalars have no say."""
    assert batch_size_of(Doubling(8), 32) == 8
    assert batch_size_of(Doubling("N"), 32) == 32


def test_batches_cut_and_never_copy() -> None:
    """Batches are views of the samples; the last one is as long as what is left."""
    x = np.arange(7.0)
    parts = list(batches({"x": x}, 3))
    assert [part["x"].tolist() for part in parts] == [[0, 1, 2], [3, 4, 5], [6]]
    assert all(np.shares_memory(part["x"], x) for part in parts)


def test_samples_are_counted_along_the_first_axis() -> None:
    """Scalars do not count; a model of scalars has one sample."""
    assert count_samples({"x": np.zeros((5, 2)), "rate": np.float64(1)}) == 5
    assert count_samples({"rate": np.float64(1)}) == 1


class Recurrent:
    """An engine whose state is no batch: two layers beside one signal."""

    inputs = (Tensor("signal", "float64", (1, 4)), Tensor("state", "float64", (2, 1)))
    outputs = (Tensor("next", "float64", (2, 1)), Tensor("level", "float64", ()))

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Return the new state and a level without a batch dimension."""
        return {"next": feeds["state"] + feeds["signal"].sum(), "level": np.asarray(feeds["signal"].max())}


def test_inputs_without_a_common_sample_axis_run_as_one_batch() -> None:
    """A state of another length than the signal is neither cut nor filled."""
    outputs = run_all(Recurrent(), {"signal": np.ones((1, 4)), "state": np.zeros((2, 1))})
    assert outputs["next"].tolist() == [[4.0], [4.0]]


class Squeezing:
    """An engine with a fixed batch of one that drops the batch dimension of its output."""

    inputs = (Tensor("x", "float64", (1, 3)),)
    outputs = (Tensor("y", "float64", (3,)), Tensor("level", "float64", ()))

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Return the sample's row without its batch dimension."""
        return {"y": feeds["x"][0], "level": np.asarray(feeds["x"].max())}


def test_an_output_without_a_batch_dimension_is_kept_whole() -> None:
    """Nothing is cut off an output that happens to be longer than the batch; scalars become one value per batch."""
    outputs = run_all(Squeezing(), {"x": np.array([[1.0, 2.0, 3.0]])})
    assert outputs["y"].tolist() == [1.0, 2.0, 3.0]
    assert outputs["level"].tolist() == [3.0]


def test_an_engine_s_error_comes_through() -> None:
    """A batch the model does not take is its error, not a wrong result."""
    with pytest.raises(BadInput):
        Doubling(2).run({"x": np.zeros((3, 3)), "gain": np.float64(1)})
