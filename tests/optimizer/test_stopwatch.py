"""Times are taken once, kept, and taken up again to the last digit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from benches import QUICK, folder_of, original_of, stopwatch_for
from boards import Board, throttled
from models import images, residual_convnet

from benchmarks.latency import Interval
from edge_runtime.errors import EnvironmentFault, Refused
from edge_runtime.package.manifest import Quantity
from optimizer.cache import Cache
from optimizer.candidates import Candidate, gate
from optimizer.elsewhere import Predictor, RemoteStopwatch
from optimizer.stopwatch import pin

X = images(2)


def test_what_was_timed_is_not_timed_again(tmp_path: Path) -> None:
    """A second run on the same machine gets the same numbers from the cache, whatever the machine does now."""
    own = original_of(residual_convnet().SerializeToString())
    first = stopwatch_for(X, folder_of(tmp_path)).timed([own, replace(own, name="copy")], QUICK)
    again = stopwatch_for(X, folder_of(tmp_path)).timed([own, replace(own, name="copy")], QUICK)
    assert first == again
    assert first[0].speed == 1.0
    assert first[1].milliseconds is not None


def test_another_machine_or_model_is_timed_anew(tmp_path: Path) -> None:
    """A time belongs to the machine, the models and their order."""
    own = original_of(residual_convnet().SerializeToString())
    cache = folder_of(tmp_path)
    watch = stopwatch_for(X, cache)
    watch.timed([own, replace(own, name="copy")], QUICK)
    assert cache.misses == 1
    replace(watch, machine="another").timed([own, replace(own, name="copy")], QUICK)
    watch.timed([own], QUICK)
    assert (cache.hits, cache.misses) == (0, 3)


def test_rejected_candidates_are_not_run() -> None:
    """What is out keeps its reason and has no time."""
    own = original_of(residual_convnet().SerializeToString())
    out = replace(own, name="out", data=b"", rejected="does not run")
    assert stopwatch_for(X).timed([own, out], QUICK)[1] is out


def test_pinned_measurements_stand_instead_of_new_ones() -> None:
    """A package's own measurements give the same numbers in a run without a cache."""
    own = original_of(residual_convnet().SerializeToString())
    watch = stopwatch_for(X)
    first = watch.timed([own, replace(own, name="copy")], QUICK)
    empty = Cache()
    pin(empty, watch.taken)
    assert stopwatch_for(X, empty).timed([own, replace(own, name="copy")], QUICK) == first


def _convnet_twice(name: str) -> list[Candidate]:
    own = original_of(residual_convnet().SerializeToString())
    return [own, replace(own, name=name)]


def test_a_board_is_timed_there_and_remembered_as_that_machine(tmp_path: Path) -> None:
    """The remote stopwatch gives milliseconds of its place; a second run needs no board."""
    cache = folder_of(tmp_path)
    watch = RemoteStopwatch({"x": X[:1]}, "a board", {"tool": "1"}, cache, place=Board())
    first = watch.timed(_convnet_twice("copy"), QUICK)
    assert [(one.label, one.milliseconds is None) for one in first] == [("measured", False)] * 2
    assert 0.3 < watch.speedup(*_convnet_twice("copy"), _no_timer).value < 3.0

    def cut(name: str, data: bytes) -> bytes:
        raise EnvironmentFault("E-PLACE-LOST", "the connection was cut", "plug it in")

    again = RemoteStopwatch({"x": X[:1]}, "a board", {"tool": "1"}, cache, place=Board(cut))
    assert again.timed(_convnet_twice("copy"), QUICK) == first
    other = RemoteStopwatch({"x": X[:1]}, "another board", {"tool": "1"}, cache, place=Board(cut))
    with pytest.raises(EnvironmentFault, match="cut"):
        other.timed(_convnet_twice("copy"), QUICK)


def test_a_form_that_a_board_cannot_run_is_rejected_alone() -> None:
    """The others are timed; the board's engine may be an older release than the one here."""
    watch = RemoteStopwatch({"x": X[:1]}, "a board", {"tool": "1"}, Cache(), place=Board())
    own, copy = _convnet_twice("copy")
    found = watch.timed([own, replace(own, name="newer", data=b"of another release"), copy], QUICK)
    assert [one.speedup is None for one in found] == [False, True, False]
    assert "does not run at" in str(found[1].rejected)


def test_times_under_throttling_are_no_times() -> None:
    """They are refused, not reported with a footnote."""
    watch = RemoteStopwatch({"x": X[:1]}, "a board", {"tool": "1"}, Cache(), place=Board(throttled))
    with pytest.raises(Refused, match="under-voltage") as caught:
        watch.timed(_convnet_twice("copy"), QUICK)
    assert caught.value.code == "E-TARGET-THROTTLED"


def test_formulas_know_static_int8_alone() -> None:
    """Of a float form nothing is predicted, and no prediction is a time."""
    watch = Predictor({"x": X[:1]}, "a board", {"tool": "1"}, Cache(), kernels="asimd")
    own, copy = watch.timed(_convnet_twice("copy"), QUICK)
    assert (own.speed, copy.speed, copy.milliseconds, copy.label) == (1.0, 1.0, None, "predicted")
    assert "nothing says that it is faster than float32 on a toaster (predicted)" in str(
        gate(copy, "on a toaster").rejected
    )


@pytest.mark.parametrize(
    ("quantity", "ratio", "says"),
    [
        ("instructions", 0.66, "more instructions than float32 on a Cortex-A72 (predicted): 0.66 x"),
        ("instructions", 1.02, "hardly fewer instructions than float32 on a Cortex-A72 (predicted): 1.02 x"),
        ("instructions", 1.35, None),
        ("formulas", 0.8, "slower than float32 on a Cortex-A72 (predicted): 0.80 x"),
        ("formulas", 1.4, None),
    ],
)
def test_a_direction_is_said_as_one(quantity: Quantity, ratio: float, says: str | None) -> None:
    """No form that needs more instructions than float32 stays in, and the reason carries its label."""
    own = original_of(b"model")
    found = replace(own, speedup=Interval(ratio, ratio, ratio), quantity=quantity)
    assert gate(found, "on a Cortex-A72").rejected == says


def _no_timer(before: bytes, after: bytes) -> Interval:
    raise AssertionError("nothing is timed here for a machine that is elsewhere")
