"""A window's way into the model and the output's way to a decision."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.inference.engine import Array, Feeds, Tensor
from edge_runtime.inference.postprocess import Threshold, Value
from edge_runtime.inference.preprocess import Preprocess
from edge_runtime.stream.decode import Decoder
from edge_runtime.stream.pipeline import Feeder, Layout, Pipeline
from edge_runtime.stream.rules import StreamBound, TimeRule, WindowRule
from edge_runtime.stream.window import Windows

WINDOW = np.arange(6, dtype=np.float32).reshape(3, 2)  # three readings of two numbers


class Echo:
    """An engine whose output is its input, flattened, and that remembers what it was fed."""

    def __init__(self) -> None:
        self.inputs = (Tensor("x", "float32", ("N", 3, 2)),)
        self.outputs = (Tensor("y", "float32", ("N", 6)),)
        self.fed: list[Array] = []

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """Return the input as the output."""
        self.fed.append(feeds["x"])
        return {"y": feeds["x"].reshape(1, -1)}


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        (("N", 3, 2), "time_first", WINDOW[None]),
        (("N", 2, 3), "features_first", WINDOW.T[None]),
        (("N", 6), "time_first", WINDOW.reshape(1, 6)),
        ((1, 1, 3, 2), "time_first", WINDOW[None, None]),
        (("N", "T", 2), "time_first", WINDOW[None]),
    ],
)
def test_layouts(shape: tuple[int | str, ...], layout: Layout, expected: Array) -> None:
    """The window is turned and reshaped to the model's input, with a batch of one."""
    fed = Feeder(Tensor("x", "float32", shape), layout, Preprocess()).feeds(WINDOW)["x"]
    np.testing.assert_array_equal(fed, expected)
    assert fed.flags.c_contiguous


def test_preprocessing_and_dtype_are_applied_once() -> None:
    """The package's steps run between window and model, and the model gets its own dtype."""
    feeder = Feeder(Tensor("x", "float64", ("N", 3, 2)), "time_first", Preprocess(scale=2.0, mean=(1.0,)))
    fed = feeder.feeds(WINDOW)["x"]
    np.testing.assert_array_equal(fed, (WINDOW * 2 - 1)[None])
    assert fed.dtype == np.float64


def _pipeline(engine: Echo, decision: Value | Threshold) -> Pipeline:
    decoder = Decoder(fields=("a", "b"), array=None, length=0, time_field=None, max_bytes=100)
    windows = Windows(WindowRule(3, 1, 2, "none"), StreamBound(1))
    feeder = Feeder(engine.inputs[0], "time_first", Preprocess())
    return Pipeline(decoder, windows, feeder, engine, ("y", decision))


def test_from_payload_to_outcome() -> None:
    """Two readings wait, the third makes a window, and its prediction is decided on."""
    engine = Echo()
    pipeline = _pipeline(engine, Threshold(above=5.5))
    assert [pipeline.take("pump", b'{"a": %d, "b": 0}' % number) for number in (1, 2)] == [(), ()]
    found = pipeline.take("pump", b'{"a": 3, "b": 6}')
    assert not isinstance(found, str)
    (due,) = found
    assert (due.stream, due.window.number, due.window.end, due.says_time) == ("pump", 3, None, False)
    outcome = pipeline.predict(due.window.array)
    assert (outcome.value, outcome.alarm) == (6.0, True)


def test_an_unusable_reading_leaves_the_window_as_it_was() -> None:
    """A rejected reading is no row, and a stream beyond the bound is refused before it is looked at."""
    pipeline = _pipeline(Echo(), Value())
    pipeline.take("pump", b'{"a": 1, "b": 1}')
    assert pipeline.take("pump", b"{}") == "missing_field"
    assert pipeline.take("other", b'{"a": 1, "b": 1}') == "too_many_streams"
    pipeline.take("pump", b'{"a": 2, "b": 2}')
    found = pipeline.take("pump", b'{"a": 3, "b": 3}')
    assert not isinstance(found, str)
    np.testing.assert_array_equal(found[0].window.array, [[1, 1], [2, 2], [3, 3]])


@pytest.mark.parametrize("by_arrival", [True, False])
def test_whose_clock_counts(by_arrival: bool) -> None:
    """Time windows go by the sensor's time or by arrival, and a silence makes due what it ends."""
    engine, rule = Echo(), TimeRule(3, 3, 2, 1.0, "previous", 2.0, by_arrival=by_arrival)
    decoder = Decoder(fields=("a", "b"), array=None, length=0, time_field="ts", max_bytes=100)
    windows = Windows(rule, StreamBound(1))
    pipeline = Pipeline(decoder, windows, Feeder(engine.inputs[0], "time_first", Preprocess()), engine, ("y", Value()))
    pipeline.pass_time(3000.0, idle=True)
    assert pipeline.take("pump", b'{"a": 1, "b": 1, "ts": 600}') == ()
    assert pipeline.pass_time(3001.0, idle=True) == ()
    assert pipeline.pass_time(3002.0, idle=False) == (), "the next reading may be waiting"
    (due,) = pipeline.pass_time(3002.0, idle=True)
    assert (due.window.start, due.window.end) == ((3000, 3002) if by_arrival else (600, 602))
    assert due.says_time is not by_arrival
