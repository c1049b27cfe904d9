"""The daemon's life as the factory sees it: online, stopped, offline, and a broker that goes and comes back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from brokers import Broker, Mosquitto
from clients import Sensors, Watcher, retained_state
from daemons import Site, pipeline

RUNNING_SUM = 'size = 2\npadding = "zero"'


def test_readings_become_predictions(broker: Broker, watcher: Watcher, sensors: Sensors, site: Site) -> None:
    """Each reading moves its own stream's window; the prediction says which stream and reading it is for."""
    daemon = site.start(site.configure(broker.port, pipeline(window=RUNNING_SUM)))
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
    assert [one["seq"] for one in got] == [1, 1, 2]
    assert {one["boot"] for one in got} == {boot}
    assert daemon.terminate() == 0


@pytest.mark.usefixtures("needs_mosquitto")
def test_a_clean_stop_is_retained_and_windows_go_on_after_it(
    broker: Broker, watcher: Watcher, sensors: Sensors, site: Site
) -> None:
    """Whoever comes later finds `stopped`; what sensors said meanwhile is predicted after the start, in order."""
    config = site.configure(broker.port, pipeline(window=RUNNING_SUM))
    daemon = site.start(config)
    first = watcher.wait_for_state("online")
    sensors.send_numbers("sensors/pump/reading", a=1, b=0)
    watcher.wait_for_predictions(1)
    assert daemon.terminate() == 0
    assert watcher.wait_for_state("stopped") == first
    assert retained_state(broker.port) == ("stopped", first)
    sensors.send_numbers("sensors/pump/reading", a=10, b=0)
    daemon = site.start(config)
    second = watcher.wait_for_state("online")
    assert second != first
    got = watcher.wait_for_predictions(2)[-1]
    assert (got["reading"], got["value"], got["boot"], got["seq"]) == (2, 11.0, second, 1)
    assert daemon.terminate() == 0


def test_windows_outlive_a_start_that_finds_no_broker(
    broker: Broker, watcher: Watcher, sensors: Sensors, site: Site
) -> None:
    """A start that fails costs nothing: the next one goes on where the last run stopped."""
    config = site.configure(broker.port, pipeline(window=RUNNING_SUM))
    daemon = site.start(config)
    watcher.wait_for_state("online")
    sensors.send_numbers("sensors/pump/reading", a=1, b=0)
    watcher.wait_for_predictions(1)
    assert daemon.terminate() == 0
    broker.stop()
    assert site.start(config).wait() == 5
    broker.start()
    with Watcher(broker.port) as later, Sensors(broker.port) as again:
        daemon = site.start(config)
        later.wait_for_state("online")
        again.send_numbers("sensors/pump/reading", a=10, b=0)
        got = later.wait_for_predictions(1)[0]
    assert (got["reading"], got["value"]) == (2, 11.0)
    assert daemon.terminate() == 0


def test_damaged_windows_are_set_aside_and_counted(
    broker: Broker, watcher: Watcher, sensors: Sensors, site: Site
) -> None:
    """A state file that is not what was written never reaches a window; the daemon serves, and says so."""
    config = site.configure(broker.port, pipeline(window=RUNNING_SUM))
    daemon = site.start(config)
    watcher.wait_for_state("online")
    sensors.send_numbers("sensors/pump/reading", a=1, b=0)
    watcher.wait_for_predictions(1)
    assert daemon.terminate() == 0
    (file,) = (site.folder / "state").glob("*.windows")
    damaged = bytes([*file.read_bytes()[:-1], file.read_bytes()[-1] ^ 1])
    file.write_bytes(damaged)
    daemon = site.start(config)
    watcher.wait_for_state("online")
    sensors.send_numbers("sensors/pump/reading", a=10, b=0)
    got = watcher.wait_for_predictions(2)[-1]
    assert (got["reading"], got["value"]) == (1, 10.0)
    watcher.wait_for(lambda: watcher.health["boot"] == got["boot"] and watcher.health["state_files_damaged"] == 1)
    assert [kept.read_bytes() for kept in (site.folder / "state").glob("*.damaged")] == [damaged]
    assert daemon.terminate() == 0


def test_a_killed_daemon_is_offline_until_its_next_start(broker: Broker, watcher: Watcher, site: Site) -> None:
    """The broker publishes and keeps the will of the very run that died; then comes a new run, and its clean stop."""
    config = site.configure(broker.port)
    daemon = site.start(config)
    first = watcher.wait_for_state("online")
    daemon.kill()
    assert watcher.wait_for_state("offline") == first
    assert retained_state(broker.port) == ("offline", first)
    daemon = site.start(config)
    second = watcher.wait_for_state("online")
    assert second != first
    assert retained_state(broker.port) == ("online", second)
    assert daemon.terminate() == 0
    watcher.wait_for_state("stopped")
    assert retained_state(broker.port) == ("stopped", second)


@pytest.mark.parametrize("persistence", [True, False], ids=["the broker remembers", "the broker forgot everything"])
def test_a_broker_that_comes_back_is_served_again(
    mosquitto: Callable[..., Mosquitto],
    site: Site,
    persistence: bool,
) -> None:
    """The same run is online again, has its subscriptions, and counts what comes as going on, not as a new stream."""
    broker = mosquitto(persistence=persistence)
    daemon = site.start(site.configure(broker.port, pipeline(window=RUNNING_SUM)))
    with Watcher(broker.port) as watcher, Sensors(broker.port) as sensors:
        boot = watcher.wait_for_state("online")
        sensors.send_numbers("sensors/pump/reading", a=1, b=0)
        watcher.wait_for_predictions(1)
        broker.stop()
        assert daemon.is_running
        broker.start()
        watcher.wait_for(lambda: watcher.health["connects"] == 2)
        assert watcher.wait_for_state("online") == boot
        assert retained_state(broker.port) == ("online", boot)
        sensors.send_numbers("sensors/pump/reading", a=10, b=0)
        watcher.wait_for(lambda: watcher.predictions[-1]["seq"] > 1)  # the broker may send the first once more: QoS 1
        got = watcher.predictions[-1]
        assert (got["boot"], got["reading"], got["value"], got["seq"]) == (boot, 2, 11.0, 2)
        assert daemon.terminate() == 0
        assert watcher.wait_for_state("stopped") == boot


def test_a_broker_that_restarts_in_full_flow_loses_and_repeats_nothing(
    mosquitto: Callable[..., Mosquitto], site: Site
) -> None:
    """Readings the broker has are predicted once each, whether they were on their way, queued or done when it went."""
    broker = mosquitto(persistence=True)
    daemon = site.start(site.configure(broker.port))
    count = 10000
    with Watcher(broker.port) as watcher, Sensors(broker.port) as sensors:
        watcher.wait_for_state("online")
        os.kill(daemon.process_id, signal.SIGSTOP)  # or it would keep up with the sensors
        sensors.flood("sensors/pump/reading", (b'{"a":%d,"b":0}' % number for number in range(count)), qos=1)
        os.kill(daemon.process_id, signal.SIGCONT)
        watcher.wait_for_predictions(1)
        broker.stop()
        before = len(watcher.predictions)
        broker.start()
        watcher.wait_for(lambda: len({one["reading"] for one in watcher.predictions}) == count)
        assert daemon.terminate() == 0
        watcher.wait_for_state("stopped")
    assert before < count
    by_id = {one["id"]: (one["reading"], one["value"]) for one in watcher.predictions}
    assert sorted(by_id.values()) == [(number + 1, float(number)) for number in range(count)]
