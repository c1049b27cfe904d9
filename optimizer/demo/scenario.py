"""The demo from its first to its last line: optimize, serve, break a bearing, see the alarm, clean up."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.errors import BudgetNotMet, EnvironmentFault
from edge_runtime.messaging.connection import Broker, Connection, Session
from edge_runtime.messaging.embedded_broker import HOST, EmbeddedBroker
from edge_runtime.messaging.json_payload import Prediction
from edge_runtime.sources.synthetic import BURST_SAMPLES
from optimizer.demo.daemon import Daemon
from optimizer.demo.model import NAME, optimize_demo_model
from optimizer.demo.plant import FAILING, PUMPS, READING_TOPIC, SECONDS_BETWEEN_READINGS, Plant
from optimizer.demo.witness import EVERYTHING, Witness
from optimizer.optimize import Progress
from optimizer.report.demo import Story
from optimizer.result import Result

_ONLINE_SECONDS = 30.0  # a slow board needs a while to import onnxruntime
_CHECK_SECONDS = 0.5
_HEALTHY_SECONDS = 6.0
_ALARM_SECONDS = 10.0
_AFTERWARDS_SECONDS = 4.0
_GOODBYE_SECONDS = 5.0

_SILENCE_SECONDS = 10.0

_AGAIN = "run `edgeopt demo` again; with --seed N the machine behaves differently"

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


@dataclass
class Record:
    """What the witness saw.

    Attributes:
        healthy: Predictions before the damage.
        false_alarms: Alarms before the damage, or of a pump that was never damaged.
        seconds_to_alarm: From the damage to the arrival of its first alarm.
    """

    healthy: int = 0
    false_alarms: list[str] = field(default_factory=list)
    seconds_to_alarm: float | None = None

    def check(self) -> None:
        """Raise where the demo did not show what it promises.

        Raises:
            EnvironmentFault: E-DEMO-NO-PREDICTION.
            BudgetNotMet: E-DEMO-FALSE-ALARM or E-DEMO-NO-ALARM.
        """
        if not self.healthy:
            raise EnvironmentFault("E-DEMO-NO-PREDICTION", "no prediction arrived through the broker", _AGAIN)
        if self.false_alarms:
            raise BudgetNotMet("E-DEMO-FALSE-ALARM", f"false alarm: {', '.join(self.false_alarms)}", _AGAIN)
        if self.seconds_to_alarm is None:
            raise BudgetNotMet("E-DEMO-NO-ALARM", f"no alarm came for the damaged bearing of {FAILING}", _AGAIN)


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
    with tempfile.TemporaryDirectory(prefix="edgeopt-demo-") as name:
        folder = Path(name)
        package = folder / f"{NAME}.edgepkg"
        result.write(package)
        story.optimized(result, str(package))
        with EmbeddedBroker() as embedded:
            broker = Broker(HOST, embedded.port)
            config = _configure(story, folder, package, broker)
            with Witness(broker) as witness, Daemon(config, folder / "daemon.log") as daemon:
                _start(story, broker, witness, daemon)
                record = _watch(story, broker, witness, seed, keep_running=keep_running)
                _finish(story, witness, daemon)
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
    config = folder / "edge-runtime.toml"
    state, served = json.dumps(str(folder / "state")), json.dumps(str(package))  # a JSON string is a TOML string
    topic = READING_TOPIC.format(pump="{stream}")
    text = _CONFIG.format(broker=broker, state=state, package=served, name=NAME, topic=topic, length=BURST_SAMPLES)
    config.write_text(text, encoding="utf-8")
    story.show(text)
    return config


def _start(story: Story, broker: Broker, witness: Witness, daemon: Daemon) -> None:
    story.step(
        "Start the factory's post office and the daemon",
        "Machines talk over MQTT: a broker passes messages on to whoever subscribes. Another terminal can see the "
        "same with:",
    )
    story.show(f"mosquitto_sub -h {broker.host} -p {broker.port} -t '{EVERYTHING}' -v")
    end = time.monotonic() + _ONLINE_SECONDS
    while not witness.sees_state("online", _CHECK_SECONDS):
        daemon.check_running()
        if time.monotonic() > end:
            raise daemon.failed(f"the daemon was not online after {_ONLINE_SECONDS:.0f} s")
    story.say(f"broker on {broker}, daemon online (process {daemon.process_id}): it has checked the package and itself")


def _watch(story: Story, broker: Broker, witness: Witness, seed: int, *, keep_running: bool) -> Record:
    record = Record()
    sensors = Connection(broker, Session(client_id="demo-sensors"))
    sensors.start()
    try:
        with Plant(sensors, seed) as plant:
            _watch_healthy(story, witness, record)
            _break_bearing(story, witness, record, plant)
            if keep_running:
                _watch_on(story, witness)
        if plant.refused:
            story.say(f"{plant.refused} readings could not be sent: the broker was too slow")
    finally:
        sensors.stop()
    return record


def _watch_healthy(story: Story, witness: Witness, record: Record) -> None:
    story.step(
        "Listen to healthy machines",
        f"{' and '.join(PUMPS)} each send a quarter of a second of vibration, every {SECONDS_BETWEEN_READINGS} s. What "
        "the daemon makes of it, as it arrives through the broker:",
    )
    for _, prediction in witness.predictions(_HEALTHY_SECONDS):
        story.prediction(prediction)
        record.healthy += 1
        _note_false_alarm(record, prediction)


def _break_bearing(story: Story, witness: Witness, record: Record, plant: Plant) -> None:
    story.step(
        f"Damage the bearing of {FAILING}",
        "A chip breaks out of the outer race. From now on every ball that rolls over it hits the housing.",
    )
    plant.damage_bearing()
    damaged_at = time.monotonic()
    end = damaged_at + _ALARM_SECONDS
    while (left := end - time.monotonic()) > 0:
        for arrived_at, prediction in witness.predictions(left):
            if prediction.stream == FAILING and prediction.alarm and record.seconds_to_alarm is None:
                record.seconds_to_alarm = arrived_at - damaged_at
                story.prediction(prediction, f"{record.seconds_to_alarm:.2f} s after the damage")
                end = time.monotonic() + _AFTERWARDS_SECONDS
                break
            story.prediction(prediction)
            if prediction.stream != FAILING:
                _note_false_alarm(record, prediction)


def _watch_on(story: Story, witness: Witness) -> None:
    story.say("going on until Ctrl-C")
    try:
        while True:
            arrived = 0
            for _, prediction in witness.predictions(_SILENCE_SECONDS):
                story.prediction(prediction)
                arrived += 1
            if not arrived:
                raise EnvironmentFault("E-DEMO-NO-PREDICTION", "predictions stopped arriving", _AGAIN)
    except KeyboardInterrupt:
        story.say("stopping")


def _finish(story: Story, witness: Witness, daemon: Daemon) -> None:
    story.step(
        "Ask the daemon how it is, and stop it",
        "It publishes its health all the time, and says goodbye when it is stopped; if it vanished, the broker would "
        "say so in its place.",
    )
    for topic, payload in witness.latest.items():
        if topic.endswith("/health"):
            story.message(topic, payload)
    status = daemon.stop()
    if status or not witness.sees_state("stopped", _GOODBYE_SECONDS):
        raise daemon.failed(f"the daemon did not stop in order (exit status {status})")
    for topic, payload in witness.latest.items():
        if topic.endswith("/status"):
            story.message(topic, payload)


def _note_false_alarm(record: Record, prediction: Prediction) -> None:
    if prediction.alarm:
        record.false_alarms.append(f"{prediction.stream} {prediction.label}")
