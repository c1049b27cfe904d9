"""The daemon's life as the factory sees it: online, stopped, offline, and what outlives a restart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from brokers import Broker
from clients import Sensors, Watcher, retained_state
from daemons import Daemon, pipeline


def test_readings_become_predictions(
    broker: Broker,
    watcher: Watcher,
    sensors: Sensors,
    configure: Callable[..., Path],
    start_daemon: Callable[..., Daemon],
) -> None:
    """Each reading moves its own stream's window; the prediction says which stream and reading it is for."""
    daemon = start_daemon(configure(broker.port, [pipeline(window='size = 2\npadding = "zero"')]))
    boot = watcher.wait_for_state("online")
    sensors.send_numbers("sensors/pump-1/reading", a=1, b=2)
    sensors.send_numbers("sensors/pump-2/reading", a=10, b=20)
    sensors.send_numbers("sensors/pump-1/reading", a=3, b=4)
    got = watcher.wait_for_predictions(3)
    assert [(one["stream"], one["reading"], one["value"]) for one in got] == [
        ("pump-1", 1, 3.0),
        ("pump-2", 1, 30.0),
        ("pump-1", 2, 10.0),
    ]
    assert {one["topic"] for one in got} == {f"edgeopt/plant/gateway/pred/sum/pump-{number}" for number in (1, 2)}
    assert [one["seq"] for one in got] == [1, 2, 3]
    assert {one["boot"] for one in got} == {boot}
    assert daemon.terminate() == 0
    assert watcher.wait_for_state("stopped") == boot
    assert retained_state(broker.port) == ("stopped", boot)
    assert watcher.health["pipelines"]["sum"]["predictions"] == 3
