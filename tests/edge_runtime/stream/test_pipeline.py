"""A window's way into the model and the output's way to a decision."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array, Feeds, Tensor
from edge_runtime.inference.feature_kinds import Mean, Peak
from edge_runtime.inference.features import Features
from edge_runtime.inference.postprocess import Outcome, Threshold, Value
from edge_runtime.inference.preprocess import Preprocess
from edge_runtime.stream.decode import Decoder
from edge_runtime.stream.gatherer import Arrival, Gatherer, Taken
from edge_runtime.stream.input_guard import GuardRule, InputGuard
from edge_runtime.stream.pipeline import Feeder, Layout, Pipeline, Predictor
from edge_runtime.stream.window import AnyRule, StreamBound, TimeRule, WindowRule, Windows

THREE = WindowRule(3, 1, 2, "none")
WINDOW = np.arange(6, dtype=np.float32).reshape(3, 2)  # three readings of two numbers


class Echo:
    """An engine whose output is its input, flattened, and that remembers what it was fed."""

    def __init__(self) -> None:
        self.inputs = (Tensor("x", "float32", ("N", 3, 2)),)
        self.outputs = (Tensor("y", "float32", ("N", 6)),)
        self.fed: list[Array] = []
        self.refused = -1.0  # fails on windows that end with this number

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """Return the input as the output."""
        if self.refused in feeds["x"][:, -1, -1]:
            raise BadInput("E-INFERENCE", "failed", "try others")
        self.fed.append(feeds["x"])
        return {"y": feeds["x"].reshape(len(feeds["x"]), -1)}


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
    fed = Feeder(Tensor("x", "float32", shape), layout, Preprocess()).feeds(WINDOW[None])["x"]
    np.testing.assert_array_equal(fed, expected)
    assert fed.flags.c_contiguous


def test_preprocessing_and_dtype_are_applied_once() -> None:
    """The package's steps run between window and model, and the model gets its own dtype."""
    feeder = Feeder(Tensor("x", "float64", ("N", 3, 2)), "time_first", Preprocess(scale=2.0, mean=(1.0,)))
    fed = feeder.feeds(WINDOW[None])["x"]
    np.testing.assert_array_equal(fed, (WINDOW * 2 - 1)[None])
    assert fed.dtype == np.float64


def test_features_stand_between_window_and_preprocessing() -> None:
    """The package's features of the raw window go into the model's shape, then through preprocess."""
    features = Features(3, (Mean(), Peak()), channels=2)
    feeder = Feeder(Tensor("x", "float64", ("N", 1, 4)), "time_first", Preprocess(scale=2.0, mean=(1.0,)), features)
    fed = feeder.feeds(np.stack([WINDOW, -WINDOW]))["x"]
    np.testing.assert_array_equal(fed, np.array([[[2.0, 3.0, 4.0, 5.0]], [[-2.0, -3.0, 4.0, 5.0]]]) * 2 - 1)
    assert fed.dtype == np.float64


def _pipeline(engine: Echo, decision: Value | Threshold, rule: AnyRule = THREE) -> Pipeline:
    decoder = Decoder(
        fields=("a", "b"), array=None, length=0, time_field="ts" if isinstance(rule, TimeRule) else None, max_bytes=100
    )
    guard = InputGuard(GuardRule(("a", "b"), False, {"a": (-100.0, 100.0)}, {}, 3))
    gatherer = Gatherer(decoder, guard, Windows(rule, StreamBound(1)))
    feeder = Feeder(engine.inputs[0], "time_first", Preprocess())
    return Pipeline(gatherer, Predictor(feeder, engine, "y", decision))


def _take(pipeline: Pipeline, *arrivals: tuple[str, bytes]) -> Taken:
    return pipeline.gatherer.take([Arrival(stream, payload, 7.0) for stream, payload in arrivals], 3000.0)


def test_from_payload_to_outcome() -> None:
    """Two readings wait, the third makes a window, and its prediction is decided on."""
    pipeline = _pipeline(Echo(), Threshold(above=5.5))
    assert _take(pipeline, *(("pump", b'{"a": %d, "b": 0}' % number) for number in (1, 2))).due == []
    taken = _take(pipeline, ("pump", b'{"a": 3, "b": 6}'))
    (due,) = taken.due
    assert (due.stream, due.reading, due.time, due.says_time, due.arrived) == ("pump", 3, None, False, 7.0)
    assert taken.readings == 1
    assert pipeline.predictor.predict(taken.due) == [Outcome(6.0, alarm=True)]


def test_windows_are_predicted_together() -> None:
    """Five windows are one run of the model, and each gets its own outcome."""
    engine = Echo()
    pipeline = _pipeline(engine, Value(index=-1))
    taken = _take(pipeline, *(("pump", b'{"a": 0, "b": %d}' % number) for number in range(7)))
    assert [outcome.value for outcome in pipeline.predictor.predict(taken.due) if outcome] == [2, 3, 4, 5, 6]
    assert [len(fed) for fed in engine.fed] == [5]


def test_a_model_that_mixes_windows_gets_them_one_by_one() -> None:
    """Where the model cannot take many, the outcomes are the same and the runs are more."""
    engine = Echo()
    pipeline = _pipeline(engine, Value(index=-1))
    pipeline.predictor.together = False
    taken = _take(pipeline, *(("pump", b'{"a": 0, "b": %d}' % number) for number in range(7)))
    assert [outcome.value for outcome in pipeline.predictor.predict(taken.due) if outcome] == [2, 3, 4, 5, 6]
    assert [len(fed) for fed in engine.fed] == [1] * 5


def test_a_window_that_the_model_fails_on_costs_only_its_own_prediction() -> None:
    """One bad window in a batch leaves the others their predictions."""
    engine = Echo()
    pipeline = _pipeline(engine, Value(index=-1))
    engine.refused = 4.0
    taken = _take(pipeline, *(("pump", b'{"a": 0, "b": %d}' % number) for number in range(7)))
    assert [outcome and outcome.value for outcome in pipeline.predictor.predict(taken.due)] == [2, 3, None, 5, 6]


def test_an_unusable_reading_leaves_the_window_as_it_was() -> None:
    """A rejected reading is no row, and a stream beyond the bound is refused before it is looked at."""
    pipeline = _pipeline(Echo(), Value())
    good = [("pump", b'{"a": %d, "b": %d}' % (number, number)) for number in (1, 2, 3)]
    taken = _take(pipeline, good[0], ("pump", b"{}"), ("other", good[0][1]), *good[1:])
    assert taken.rejected == {"missing_field": 1, "too_many_streams": 1}
    np.testing.assert_array_equal(taken.due[0].array, [[1, 1], [2, 2], [3, 3]])


def test_a_reading_that_cannot_be_true_spoils_its_windows() -> None:
    """It is used, but every window that holds it says so; those after it do not."""
    pipeline = _pipeline(Echo(), Value())
    taken = _take(pipeline, *(("pump", b'{"a": %d, "b": 0}' % number) for number in (1, 2, 3, 1000, 4, 5, 6)))
    assert [due.quality for due in taken.due] == ["good", "bad_input", "bad_input", "bad_input", "good"]


def test_a_reading_that_is_not_taken_is_not_remembered_as_bad() -> None:
    """A sensor that restarts with a wrong clock and a wrong value costs that reading, and no window after it."""
    pipeline = _pipeline(Echo(), Value(), TimeRule(3, 3, 2, 1.0, "previous", 2.0))
    payloads = [b'{"a": 1, "b": 1, "ts": %d}' % time for time in (600, 601, 602)]
    wrong = b'{"a": -999, "b": 1, "ts": 2000000000}'
    more = [b'{"a": 1, "b": 1, "ts": %d}' % time for time in (603, 604, 605, 606)]
    taken = _take(pipeline, *(("pump", payload) for payload in (*payloads, wrong, *more)))
    assert taken.rejected == {"clock_jump": 1}
    assert [due.quality for due in taken.due] == ["good"] * len(taken.due)
    assert taken.due


def test_rows_that_are_windows_are_taken_together() -> None:
    """Windows of one reading come out as one by one: numbered by stream, with their own time and quality."""
    engine = Echo()
    pipeline = _pipeline(engine, Value(), WindowRule(1, 1, 2, "none"))
    good, bad = b'{"a": 1, "b": 2}', b'{"a": 1000, "b": 2}'
    taken = _take(pipeline, ("pump", good), ("pump", b"{}"), ("other", good), ("pump", bad))
    assert [(due.reading, due.quality, due.arrived) for due in taken.due] == [(1, "good", 7.0), (2, "bad_input", 7.0)]
    assert (taken.readings, taken.rejected) == (2, {"missing_field": 1, "too_many_streams": 1})
    np.testing.assert_array_equal([due.array for due in taken.due], [[[1, 2]], [[1000, 2]]])


@pytest.mark.parametrize("by_arrival", [True, False])
def test_whose_clock_counts(by_arrival: bool) -> None:
    """Time windows go by the sensor's time or by arrival, and a silence makes due what it ends."""
    pipeline = _pipeline(Echo(), Value(), TimeRule(3, 3, 2, 1.0, "previous", 2.0, by_arrival=by_arrival))
    gatherer = pipeline.gatherer
    gatherer.pass_time(3000.0)
    assert _take(pipeline, ("pump", b'{"a": 1, "b": 1, "ts": 600}')).due == []
    assert gatherer.pass_time(3001.0) == []
    assert gatherer.take([], 3002.0).due == [], "the next reading may be waiting"
    (due,) = gatherer.pass_time(3002.0)
    assert (due.time, due.says_time, due.arrived) == ((3002.0, False, None) if by_arrival else (602.0, True, None))
