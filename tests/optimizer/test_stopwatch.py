"""Times are taken once, kept, and taken up again to the last digit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benches import QUICK, folder_of, original_of, stopwatch_for
from models import images, residual_convnet

from optimizer.cache import Cache
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
