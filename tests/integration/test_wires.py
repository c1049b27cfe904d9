"""Protocol versions and client identifiers on a real broker."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from brokers import HOST, PATIENCE, Mosquitto
from clients import Sensors, Watcher
from daemons import Site

from edge_runtime.messaging import reconnects
from edge_runtime.messaging.broker import Broker
from edge_runtime.messaging.connection import Connection, Session


def wait_for(condition: Callable[[], bool]) -> None:
    """Return once the condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.mark.parametrize("protocol", ["5", "auto"])
def test_a_daemon_speaks_mqtt_5(mosquitto: Callable[..., Mosquitto], site: Site, protocol: str) -> None:
    """Readings that came while it was away are kept by the broker for its session, which has an expiry."""
    broker = mosquitto()
    config = site.configure(broker.port, broker=f'protocol = "{protocol}"')
    daemon = site.start(config)
    with Watcher(broker.port) as watcher, Sensors(broker.port) as sensors:
        watcher.wait_for_state("online")
        sensors.send_numbers("sensors/pump/reading", a=1, b=2)
        assert watcher.wait_for_predictions(1)[0]["value"] == 3.0
        assert daemon.terminate() == 0
        sensors.send_numbers("sensors/pump/reading", a=10, b=20)
        site.start(config)
        assert watcher.wait_for_predictions(2)[1]["value"] == 30.0
    assert "(p5, c0" in broker.log


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_two_clients_with_one_identifier_do_not_fight_for_ever(
    mosquitto: Callable[..., Mosquitto], monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """They throw each other out a few times; then both keep away for longer, and say why."""
    monkeypatch.setattr(reconnects, "FIRST_PAUSE_SECONDS", 0.05)
    broker = Broker(HOST, mosquitto().port)
    both = [Connection(broker, Session("twin", protocol=protocol)) for _ in range(2)]  # type: ignore[arg-type]
    try:
        for one in both:
            one.start()
        wait_for(lambda: any(one.health().duplicate_client for one in both))
        assert sum(one.health().connects for one in both) <= 8
    finally:
        for one in both:
            one.stop()
