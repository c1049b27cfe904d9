"""The demo from its first to its last line: optimize, serve, break a bearing, see the alarm, clean up."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import EnvironmentFault
from edge_runtime.messaging.broker import Broker
from edge_runtime.messaging.connection import Connection, Session
from edge_runtime.messaging.embedded_broker import HOST, EmbeddedBroker
from edge_runtime.sources.synthetic import BURST_SAMPLES
from optimizer.demo.daemon import Daemon
from optimizer.demo.model import NAME, optimize_demo_model
from optimizer.demo.plant import FAILING, PUMPS, READING_TOPIC, SECONDS_BETWEEN_READINGS, Plant
from optimizer.demo.record import AGAIN, Record
from optimizer.demo.witness import EVERYTHING, Witness
from optimizer.report.demo import Story
from optimizer.result import Result
from optimizer.search import Progress

_ONLINE_SECONDS = 30.0  # a slow board needs a while to import onnxruntime
_CHECK_SECONDS = 0.5
_HEALTHY_SECONDS = 6.0
_ALARM_SECONDS = 10.0
_AFTERWARDS_SECONDS = 4.0
_SILENCE_SECONDS = 10.0
_GOODBYE_SECONDS = 5.0

_CONFIG = """\
schema = 1

[node]
name = "demo"

[broker]
url = "{broker}"

[health]
interval = "2s"

[state]
folder = {state}

[[pipeline]]
name = "{name}"
package = {package}
source = {{ topic = "{topic}", array = "samples", length = {length}, time_field = "ts" }}
"""


@dataclass(frozen=True)
class Stage:
    """Everything that plays a part while the daemon runs."""

    story: Story
    broker: Broker
    witness: Witness
    daemon: Daemon


def optimize_model(story: Story, progress: Progress) -> Result:
    """Tell and do the first step; the package it makes is for `serve_and_break`."""
    story.step(
        "Make the model small and fast",
        "A small neural network has learnt to hear bearing damage in vibration. edgeopt tries faster forms of it on "
        "this computer, checks each on 1500 recordings the network has never heard, and keeps the best.",
    )
    return optimize_demo_model(progress)


def serve_and_break(story: Story, result: Result, seed: int, *, keep_running: bool) -> None:
    """Tell and do all further steps; nothing is left behind, however they end.

    Raises:
        EdgeoptError: The demo did not show what it promises; see `Record.check`, `Daemon` and `EmbeddedBroker`.
    """
    with tempfile.TemporaryDirectory(prefix="edgeopt-demo-") as name, EmbeddedBroker() as embedded:
        folder, broker = Path(name), Broker(HOST, embedded.port)
        package = folder / f"{NAME}.edgepkg"
        result.write(package)
        story.optimized(result, str(package))
        config = _configure(story, folder, package, broker)
        with Witness(broker) as witness, Daemon(config, folder / "daemon.log") as daemon:
            stage = Stage(story, broker, witness, daemon)
            _wait_for_daemon(stage)
            record = _watch(stage, seed, keep_running=keep_running)
            _finish(stage)
    record.check()
    story.say(
        f"\nDone: {record.healthy} predictions of healthy pumps, then the alarm {record.seconds_to_alarm:.2f} s after "
        "the damage. The daemon, the broker and the files of this demo are gone."
    )
    story.say("Your own model next:  edgeopt quantize MODEL.onnx")


def _configure(story: Story, folder: Path, package: Path, broker: Broker) -> Path:
    story.step(
        "Tell the daemon what to serve",
        "The daemon is the program that runs next to the machines. This is its whole configuration:",
    )
    text = _CONFIG.format(
        broker=broker,
        state=json.dumps(str(folder / "state")),  # a JSON string is a TOML string
        package=json.dumps(str(package)),
        name=NAME,
        topic=READING_TOPIC.format(pump="{stream}"),
        length=BURST_SAMPLES,
    )
    config = folder / "edge-runtime.toml"
    config.write_text(text, encoding="utf-8")
    story.show(text)
    return config


def _wait_for_daemon(stage: Stage) -> None:
    broker, daemon = stage.broker, stage.daemon
    stage.story.step(
        "Start the factory's post office and the daemon",
        "Machines talk over MQTT: a broker passes messages on to whoever subscribes. Another terminal can see the "
        "same with:",
    )
    stage.story.show(f"mosquitto_sub -h {broker.host} -p {broker.port} -t '{EVERYTHING}' -v")
    end = time.monotonic() + _ONLINE_SECONDS
    while not stage.witness.sees_state("online", _CHECK_SECONDS):
        daemon.check_running()
        if time.monotonic() > end:
            raise daemon.failed(f"the daemon was not online after {_ONLINE_SECONDS:.0f} s")
    stage.story.say(
        f"broker on {broker}, daemon online (process {daemon.process_id}): it has checked the package and itself"
    )


def _watch(stage: Stage, seed: int, *, keep_running: bool) -> Record:
    record = Record(FAILING)
    sensors = Connection(stage.broker, Session(client_id="demo-sensors"))
    sensors.start()
    try:
        with Plant(sensors, seed) as plant:
            _watch_healthy(stage, record)
            _break_bearing(stage, record, plant)
            if keep_running:
                _watch_on(stage)
    finally:
        sensors.stop()
    if plant.refused:
        stage.story.say(f"{plant.refused} readings could not be sent: the broker was too slow")
    return record


def _watch_healthy(stage: Stage, record: Record) -> None:
    stage.story.step(
        "Listen to healthy machines",
        f"{' and '.join(PUMPS)} each send a quarter of a second of vibration, every {SECONDS_BETWEEN_READINGS} s. What "
        "the daemon makes of it, as it arrives through the broker:",
    )
    for arrived_at, prediction in stage.witness.predictions(_HEALTHY_SECONDS):
        record.add(prediction, arrived_at)
        stage.story.prediction(prediction)
    stage.daemon.check_running()


def _break_bearing(stage: Stage, record: Record, plant: Plant) -> None:
    stage.story.step(
        f"Damage the bearing of {FAILING}",
        "A chip breaks out of the outer race. From now on every ball that rolls over it hits the housing.",
    )
    record.damaged_at = time.monotonic()
    plant.damage_bearing()
    for arrived_at, prediction in stage.witness.predictions(_ALARM_SECONDS):
        record.add(prediction, arrived_at)
        if record.seconds_to_alarm is not None:
            stage.story.prediction(prediction, f"{record.seconds_to_alarm:.2f} s after the damage")
            break
        stage.story.prediction(prediction)
    for arrived_at, prediction in stage.witness.predictions(_AFTERWARDS_SECONDS):
        record.add(prediction, arrived_at)
        stage.story.prediction(prediction)


def _watch_on(stage: Stage) -> None:
    stage.story.say("going on until Ctrl-C")
    try:
        while True:
            arrived = 0
            for _, prediction in stage.witness.predictions(_SILENCE_SECONDS):
                stage.story.prediction(prediction)
                arrived += 1
            if not arrived:
                stage.daemon.check_running()
                raise EnvironmentFault("E-DEMO-NO-PREDICTION", "predictions stopped arriving", AGAIN)
    except KeyboardInterrupt:
        stage.story.say("stopping")


def _finish(stage: Stage) -> None:
    stage.story.step(
        "Ask the daemon how it is, and stop it",
        "It publishes its health all the time, and says goodbye when it is stopped; if it vanished, the broker would "
        "say so in its place.",
    )
    stage.story.messages(stage.witness.latest, "/health")
    status = stage.daemon.stop()
    if status or not stage.witness.sees_state("stopped", _GOODBYE_SECONDS):
        raise stage.daemon.failed(f"the daemon did not stop in order (exit status {status})")
    stage.story.messages(stage.witness.latest, "/status")
