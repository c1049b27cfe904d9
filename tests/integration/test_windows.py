"""Windows in a whole daemon: over a kill, and by the sensor's time."""

from __future__ import annotations

from brokers import Broker
from clients import Sensors, Watcher
from daemons import Site, pipeline

from edge_runtime.stream import tail_file

SAVE_OFTEN = '[state]\nsave_every = "1s"'
BY_TIME = 'duration = "1s"\nrate = 2\ninterpolation = "previous"\nmax_gap = "60s"\ntime = "sensor"'


def test_windows_outlive_a_kill(broker: Broker, watcher: Watcher, sensors: Sensors, site: Site) -> None:
    """After kill -9 a stream goes on from what was saved last, its numbers as well."""
    config = site.configure(broker.port, pipeline(window='size = 2\npadding = "zero"'), broker=SAVE_OFTEN)
    daemon = site.start(config)
    watcher.wait_for_state("online")
    sensors.send_numbers("sensors/pump/reading", a=1, b=0)
    watcher.wait_for_predictions(1)
    watcher.wait_for(lambda: _saved(site) == {"pump"})
    daemon.kill()
    watcher.wait_for_state("offline")
    daemon = site.start(config)
    watcher.wait_for_state("online")
    sensors.send_numbers("sensors/pump/reading", a=10, b=0)
    got = watcher.wait_for_predictions(2)[-1]
    assert (got["reading"], got["value"]) == (2, 11.0)
    assert daemon.terminate() == 0


def _saved(site: Site) -> set[str]:
    """Return the streams whose windows are on disk."""
    found: set[str] = set()
    for file in (site.folder / "state").glob("*.windows"):
        saved = tail_file.decode(file.read_bytes())
        found |= set(saved.pipelines["sum"]) if saved else set()
    return found


def test_windows_by_the_sensors_time(broker: Broker, watcher: Watcher, sensors: Sensors, site: Site) -> None:
    """A full window is predicted at once, silence ends the next, held on; what comes too late for it is counted."""
    source = 'fields = ["a", "b"]\ntime_field = "ts"'
    daemon = site.start(site.configure(broker.port, pipeline(source=source, window=BY_TIME)))
    watcher.wait_for_state("online")
    for time, value in ((100.0, 1), (100.5, 10)):
        sensors.send_numbers("sensors/pump/reading", a=value, b=0, ts=time)
    got = watcher.wait_for_predictions(2)[:2]
    assert [(one["value"], one["ts"], one["ts_src"]) for one in got] == [
        (11.0, "1970-01-01T00:01:40.500Z", "sensor"),
        (20.0, "1970-01-01T00:01:41.500Z", "sensor"),
    ]
    sensors.send_numbers("sensors/pump/reading", a=0, b=0, ts=101.25)
    watcher.wait_for(lambda: watcher.health["pipelines"]["sum"]["rejected"].get("too_late") == 1)
    assert daemon.terminate() == 0
