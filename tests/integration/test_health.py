"""Health from a real daemon: the same on MQTT, on the command line and for systemd."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import service_manager
from brokers import Broker
from clients import Sensors, Watcher
from daemons import COMMAND, Site, pipeline, run_verb
from service_manager import Manager

# A daemon whose model never comes back from the number 666, as a driver that hangs would.
HANGING = """
import threading
from edge_runtime.cli.main import main
from edge_runtime.inference.ort import OrtEngine
run = OrtEngine.run
def hang(self, inputs):
    if any((array == 666).any() for array in inputs.values()):
        threading.Event().wait()
    return run(self, inputs)
OrtEngine.run = hang
main()
"""

# A daemon whose network thread never comes back from the same number.
DEAF = """
import threading
from edge_runtime.cli.main import main
from edge_runtime.sources.mqtt import Intake
receive = Intake.receive
def hang(self, messages):
    if any(b"666" in message.payload for message in messages):
        threading.Event().wait()
    return receive(self, messages)
Intake.receive = hang
main()
"""


def shape(value: Any) -> Any:
    """Return the keys of an object, and of those in it."""
    return {key: shape(inner) for key, inner in value.items()} if isinstance(value, dict) else None


@pytest.fixture
def manager(site: Site) -> Any:
    """Return what listens to the daemon as systemd would."""
    with Manager(site.folder.parent / "notify") as one:
        yield one


def test_status_and_topic_say_the_same(broker: Broker, watcher: Watcher, sensors: Sensors, site: Site) -> None:
    """One schema: the keys, the model, the counts; and the page for people tells them, too."""
    config = site.configure(broker.port)
    daemon = site.start(config)
    watcher.wait_for_state("online")
    sensors.send_numbers("sensors/pump/reading", a=1, b=2)
    sensors.send("sensors/pump/reading", b"no json")
    watcher.wait_for(lambda: watcher.health.get("pipelines", {}).get("sum", {}).get("rejected") == {"not_json": 1})
    asked = run_verb("status", config, "--json")
    said = json.loads(asked.stdout)
    assert shape(said) == shape(watcher.health)
    assert said["boot"] == watcher.health["boot"]
    assert (said["state"] == "ok") == (asked.returncode == 0)
    one = said["pipelines"]["sum"]
    assert (one["readings"], one["predictions"], one["rejected"], one["model"]) == (1, 1, {"not_json": 1}, "sum")
    assert one["reading_age_s"] > 0
    assert said["machine"]["resident_bytes"] > 1 << 20
    page = run_verb("status", config)
    assert page.stdout.splitlines()[0].split()[0] == said["state"].upper()
    assert "rejected  1 not_json" in page.stdout
    quiet = run_verb("status", config, "--quiet")
    assert (quiet.stdout, quiet.returncode) == ("", asked.returncode)
    assert daemon.terminate() == 0


def test_silent_sensors_make_the_state_degraded(broker: Broker, watcher: Watcher, site: Site) -> None:
    """The daemon is there and connected, and says all the same that something is missing, and what to do."""
    config = site.configure(broker.port)
    text = config.read_text(encoding="utf-8").replace("[health]", '[health]\nsilence = "1s"')
    config.write_text(text, encoding="utf-8")
    daemon = site.start(config)
    watcher.wait_for(lambda: any("no usable reading" in reason for reason in watcher.health.get("reasons", ())))
    asked = run_verb("status", config)
    assert asked.returncode == 4
    assert "What needs a look:" in asked.stdout
    assert daemon.terminate() == 0


def test_a_daemon_that_is_not_there_has_left_a_word(broker: Broker, watcher: Watcher, site: Site) -> None:
    """Before the first run, after a clean stop, and after a kill: each is said, with exit status 5."""
    config = site.configure(broker.port)
    never = run_verb("status", config)
    assert (never.returncode, "E-DAEMON-NOT-RUNNING" in never.stderr) == (5, True)
    assert "no earlier run has left a word" in never.stderr
    daemon = site.start(config)
    watcher.wait_for_state("online")
    assert daemon.terminate() == 0
    assert "its last word" in run_verb("status", config).stderr
    daemon = site.start(config)
    watcher.wait_for_state("online")
    daemon.kill()
    assert "ended without saying so" in run_verb("status", config, "--json").stderr
    daemon = site.start(config)
    watcher.wait_for(lambda: watcher.health.get("unclean_starts") == 1)
    assert run_verb("status", config).returncode in {0, 4}
    assert daemon.terminate() == 0


def test_a_second_daemon_is_refused_and_the_first_goes_on(
    broker: Broker, watcher: Watcher, sensors: Sensors, site: Site
) -> None:
    """Exit status 5 with the first one's process id, before anything was touched."""
    config = site.configure(broker.port)
    first = site.start(config)
    boot = watcher.wait_for_state("online")
    second = run_verb("run", config)
    assert second.returncode == 5
    assert "E-STATE-LOCKED" in second.stderr
    assert f"process {first.process_id}," in second.stderr
    assert run_verb("status", config, "--quiet").returncode in {0, 4}
    sensors.send_numbers("sensors/pump/reading", a=1, b=2)
    assert watcher.wait_for_predictions(1)[0]["boot"] == boot
    assert watcher.states == [("online", boot)]
    assert first.terminate() == 0


def test_systemd_hears_of_the_whole_life(broker: Broker, watcher: Watcher, site: Site, manager: Manager) -> None:
    """Ready only once the broker has accepted the client; then food for the watchdog and a line; then the stop."""
    config = site.configure(broker.port, broker='startup = "retry"')
    broker.stop()
    daemon = site.start(config, {**manager.environment, "WATCHDOG_USEC": "3000000"})
    manager.wait_for(lambda: any("EXTEND_TIMEOUT_USEC" in fields for fields in manager.heard))
    assert not manager.said("READY")
    broker.start()
    manager.wait_for(lambda: manager.said("READY"))
    manager.wait_for(lambda: manager.meals() > 2)
    assert "sum v1" in manager.heard[-1]["STATUS"] or "clock" in manager.heard[-1]["STATUS"]
    assert not manager.said("STOPPING")
    assert daemon.terminate() == 0
    manager.wait_for(lambda: manager.said("STOPPING"))


def test_a_model_that_hangs_starves_the_watchdog(
    broker: Broker, watcher: Watcher, sensors: Sensors, site: Site, manager: Manager
) -> None:
    """Main loop and network thread are well, and still systemd is to kill it; the topic says which thread hangs."""
    watched = {**manager.environment, "WATCHDOG_USEC": "1000000"}
    daemon = site.start(site.configure(broker.port), watched, [sys.executable, "-c", HANGING])
    watcher.wait_for_state("online")
    sensors.send_numbers("sensors/pump/reading", a=1, b=2)
    watcher.wait_for_predictions(1)
    manager.wait_for(lambda: manager.meals() > 2)
    sensors.send_numbers("sensors/pump/reading", a=666, b=0)
    watcher.wait_for(lambda: watcher.health["hung"] == ["pipeline sum"])
    assert watcher.health["state"] == "failing"
    manager.wait_for(lambda: "hangs" in manager.heard[-1]["STATUS"])
    meals, words = manager.meals(), len(manager.heard)
    manager.wait_for(lambda: len(manager.heard) > words + 5)
    assert manager.meals() == meals
    daemon.kill()


def test_a_network_thread_that_hangs_starves_the_watchdog(
    broker: Broker, watcher: Watcher, sensors: Sensors, site: Site, manager: Manager
) -> None:
    """It can publish nothing any more, but the socket still answers and tells which thread it is."""
    config = site.configure(broker.port)
    watched = {**manager.environment, "WATCHDOG_USEC": "1000000"}
    daemon = site.start(config, watched, [sys.executable, "-c", DEAF])
    watcher.wait_for_state("online")
    manager.wait_for(lambda: manager.meals() > 2)
    sensors.send_numbers("sensors/pump/reading", a=666, b=0)
    manager.wait_for(lambda: "network hangs" in manager.heard[-1]["STATUS"])
    assert json.loads(run_verb("status", config, "--json").stdout)["hung"] == ["network"]
    daemon.kill()


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze, which knows the groups of calls, is not installed"
)
def test_the_daemon_works_in_the_closed_room_of_its_unit(
    broker: Broker, watcher: Watcher, sensors: Sensors, site: Site
) -> None:
    """With the unit's system calls alone and no memory both writable and executable: onnxruntime, numpy, all of it."""
    config = site.configure(broker.port, pipeline(model='engines = ["onnxruntime"]'))
    unit = site.folder.parent / "closed.service"
    unit.write_text(run_verb("service", "print", config, "--user").stdout, encoding="utf-8")
    room = [sys.executable, service_manager.__file__, str(unit)]
    trial = "import mmap, os; mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)"
    refused = subprocess.run([*room, sys.executable, "-c", trial], capture_output=True, text=True, check=False)
    assert "PermissionError" in refused.stderr
    daemon = site.start(config, command=[*room, *COMMAND])
    watcher.wait_for_state("online")
    sensors.send_numbers("sensors/pump/reading", a=1, b=2)
    assert watcher.wait_for_predictions(1)[0]["value"] == 3.0
    assert run_verb("status", config, "--quiet").returncode in {0, 4}
    assert daemon.terminate() == 0
    assert "Operation not permitted" not in daemon.log


def test_unused_names_are_not_left_behind(site: Site, broker: Broker, watcher: Watcher) -> None:
    """After a clean stop the folder holds the windows and the record of the runs, no socket and no lock."""
    daemon = site.start(site.configure(broker.port))
    watcher.wait_for_state("online")
    state = Path(site.folder / "state")
    assert (state / "daemon.sock").is_socket()
    assert daemon.terminate() == 0
    assert {"daemon.sock", "edge-runtime.lock"} & {file.name for file in state.iterdir()} == set()
