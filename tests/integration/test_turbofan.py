"""The whole way: a real model, its package, the daemon, a real broker, and predictions at a subscriber of its own."""

from __future__ import annotations

import math
import subprocess
from typing import Any

import pytest
from brokers import HOST, Broker
from clients import Watcher
from daemons import Site
from turbofan import Fleet, Values

CAP = 125.0  # the model was trained on remaining lives cut off at this many cycles


@pytest.fixture
def url(broker: Broker) -> str:
    """Return the broker's URL."""
    return f"mqtt://{HOST}:{broker.port}"


def values(predictions: list[dict[str, Any]]) -> Values:
    """Return the predictions by stream and reading."""
    return {(one["stream"], one["reading"]): one["value"] for one in predictions}


def test_every_row_is_predicted_once_and_as_well_as_the_package_says(
    fleet: Fleet, url: str, watcher: Watcher, site: Site
) -> None:
    """All rows of all engines go through; at the end the subscriber knows what each engine has left."""
    daemon = site.start(fleet.configure(site.folder, url))
    watcher.wait_for_state("online")
    subprocess.run(fleet.replay(url), check=True, capture_output=True)
    pairs = fleet.pairs()
    watcher.wait_for_predictions(len(pairs))
    assert daemon.terminate() == 0
    watcher.wait_for_state("stopped")
    got = watcher.predictions
    assert len(got) == len(pairs) == 13096
    assert set(values(got)) == pairs
    assert len({one["id"] for one in got}) == len(got)
    for engine in fleet.remaining:
        numbers = [one["seq"] for one in got if one["stream"] == engine]
        assert numbers == list(range(1, len(numbers) + 1))
    last = {one["stream"]: one["value"] for one in got}
    errors = [(last[engine] - min(cycles, CAP)) ** 2 for engine, cycles in fleet.remaining.items()]
    assert math.sqrt(sum(errors) / len(errors)) == pytest.approx(fleet.rmse, abs=0.05)


@pytest.mark.usefixtures("needs_mosquitto")
@pytest.mark.parametrize("flow", [(3000, 1000), (None, 2000)], ids=["some engines", "all engines"])
def test_a_stop_in_full_flow_loses_and_repeats_nothing(
    fleet: Fleet, url: str, watcher: Watcher, site: Site, flow: tuple[int | None, int]
) -> None:
    """While readings keep coming the daemon is stopped and started again: all predictions, once, as without a stop."""
    limit, rate = flow
    config = fleet.configure(site.folder, url)
    daemon = site.start(config)
    first = watcher.wait_for_state("online")
    with subprocess.Popen(fleet.replay(url, rate=rate, limit=limit), stdout=subprocess.DEVNULL) as replay:
        watcher.wait_for_predictions(500)
        assert daemon.terminate() == 0
        assert watcher.wait_for_state("stopped") == first
        assert replay.poll() is None, "the stop came too late to disturb anything"
        before = len(watcher.predictions)
        daemon = site.start(config)
        assert watcher.wait_for_state("online") != first
        assert replay.wait() == 0
    pairs = fleet.pairs(limit)
    watcher.wait_for_predictions(len(pairs))
    assert daemon.terminate() == 0
    watcher.wait_for_state("stopped")
    assert 0 < before < len(pairs)
    assert len(watcher.predictions) == len(pairs)
    assert values(watcher.predictions) == pytest.approx(fleet.computed(config, limit), abs=1e-6)
