"""Alarms, quality and reports by exception, as a subscriber sees them."""

from __future__ import annotations

from brokers import Broker
from clients import Sensors, Watcher
from daemons import Site, pipeline

TABLES = """
[pipeline.report]
on = "change"
dead_band = 1
at_least_every = "1s"

[pipeline.quality]
limits = { a = [0, 100], b = [0, 100] }
stale_after = "4s"
"""


def test_a_subscriber_sees_changes_faults_and_silence(
    broker: Broker, watcher: Watcher, sensors: Sensors, site: Site
) -> None:
    """One message for the first value, none in the dead-band, a heartbeat with the newest, a fault, and silence."""
    daemon = site.start(site.configure(broker.port, pipeline() + TABLES))
    watcher.wait_for_state("online")
    readings = [b'{"a":1,"b":0}', b'{"a":1.25,"b":0}', b'{"a":1.5,"b":0}']
    sensors.flood("sensors/pump/reading", readings, qos=1)
    watcher.wait_for_predictions(2)
    sensors.flood("sensors/pump/reading", [b'{"a":1,"b":999}'], qos=1)
    got = watcher.wait_for_predictions(4)
    assert [(one["quality"], one.get("value"), one["reading"]) for one in got[:4]] == [
        ("good", 1.0, 1),
        ("good", 1.5, 3),
        ("bad_input", None, 4),
        ("stale", None, 4),
    ]
    assert daemon.terminate() == 0
    watcher.wait_for_state("stopped")
    health = watcher.health["pipelines"]["sum"]
    assert health["readings"] == 4
    assert health["unchanged"] == 2
    assert health["faults"] == {"b outside_limits": 1}
