"""More readings than the daemon can take, and readings that several pipelines want."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest
from brokers import Broker, Mosquitto
from clients import Sensors, Watcher
from daemons import Site, pipeline

COUNT = 5000
PAYLOADS = [b'{"a":%d,"b":0}' % number for number in range(COUNT)]


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
def test_what_a_full_queue_drops_is_counted(
    broker: Broker, watcher: Watcher, sensors: Sensors, site: Site, policy: str
) -> None:
    """In a flood at QoS 0 a queue of one overflows; every reading that came in is predicted or counted as dropped."""
    source = 'fields = ["a", "b"]\nqos = 0'
    queue = f'size = 1\npolicy = "{policy}"'
    daemon = site.start(site.configure(broker.port, pipeline(source=source, queue=queue)))
    watcher.wait_for_state("online")
    sensors.flood("sensors/pump/reading", PAYLOADS, qos=0)

    def taken_in() -> int:
        one = watcher.health["pipelines"]["sum"]
        return int(one["readings"]) + int(sum(one["dropped"].values()))

    watcher.wait_for(lambda: taken_in() == COUNT)
    assert daemon.terminate() == 0
    watcher.wait_for_state("stopped")
    health = watcher.health["pipelines"]["sum"]
    assert list(health["dropped"]) == ["queue_full"]
    assert health["predictions"] == health["readings"] == len(watcher.predictions)
    kept = [one["value"] for one in watcher.predictions]
    assert kept == sorted(kept)
    # Which end is sure to survive is what tells the policies apart.
    assert kept[-1] == COUNT - 1 if policy == "drop_oldest" else kept[0] == 0


def test_at_qos_1_a_full_queue_holds_back_and_drops_nothing(
    broker: Broker, watcher: Watcher, sensors: Sensors, site: Site
) -> None:
    """Without a policy, readings that the broker keeps wait with the broker, and all are predicted in order."""
    daemon = site.start(site.configure(broker.port, pipeline(queue="size = 1")))
    watcher.wait_for_state("online")
    sensors.flood("sensors/pump/reading", PAYLOADS, qos=1)
    got = watcher.wait_for_predictions(COUNT)
    assert [one["value"] for one in got] == list(range(COUNT))
    assert daemon.terminate() == 0
    assert watcher.health["pipelines"]["sum"]["dropped"] == {}


def test_two_pipelines_on_one_topic_both_predict_and_acknowledge_once(
    mosquitto: Callable[..., Mosquitto], site: Site
) -> None:
    """A message is done with when both are; the broker sees one PUBACK for each, as its own log says."""
    broker = mosquitto()
    daemon = site.start(site.configure(broker.port, pipeline("first"), pipeline("second")))
    with Watcher(broker.port) as watcher, Sensors(broker.port) as sensors:
        watcher.wait_for_state("online")
        sensors.flood("sensors/pump/reading", PAYLOADS[:500], qos=1)
        watcher.wait_for_predictions(1000)
        assert daemon.terminate() == 0
        watcher.wait_for_state("stopped")
    predicted = Counter((one["pipeline"], one["reading"], one["value"]) for one in watcher.predictions)
    assert predicted == Counter((name, n + 1, float(n)) for name in ("first", "second") for n in range(500))
    acknowledged = Counter(re.findall(r"Received PUBACK from edge-runtime-plant-gateway \(Mid: (\d+)", broker.log))
    assert acknowledged == Counter(str(number) for number in range(1, 501))


def test_pipelines_whose_topics_overlap_each_predict_once(mosquitto: Callable[..., Mosquitto], site: Site) -> None:
    """A broker may deliver a message once per subscription that matches it; it stays one reading all the same."""
    broker = mosquitto()
    wide = pipeline("wide", "sensors/{stream}/+")
    daemon = site.start(site.configure(broker.port, pipeline("narrow"), wide))
    with Watcher(broker.port) as watcher, Sensors(broker.port) as sensors:
        watcher.wait_for_state("online")
        sensors.flood("sensors/pump/reading", PAYLOADS[:100], qos=1)
        watcher.wait_for_predictions(200)
        assert daemon.terminate() == 0
        watcher.wait_for_state("stopped")
    predicted = Counter((one["pipeline"], one["value"]) for one in watcher.predictions)
    assert predicted == Counter((name, float(n)) for name in ("narrow", "wide") for n in range(100))
