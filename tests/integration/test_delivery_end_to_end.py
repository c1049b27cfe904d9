"""The reference subscriber as it is shipped, against a real broker: killed, and nothing is lost or kept twice."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import paho.mqtt.client as paho
from brokers import Mosquitto

from edge_runtime.config_options import BrokerConfig, Config, Node, PipelineConfig, Source
from edge_runtime.delivery_options import DeliveryConfig
from edge_runtime.messaging.outbox.build import Outboxes, gap_message
from edge_runtime.messaging.outbox.contract import Entry
from edge_runtime.messaging.outbox.row import Gap

SUBSCRIBER = Path(__file__).resolve().parents[2] / "docs" / "examples" / "subscriber.py"
PREFIX = "edgeopt/default/n"
CONFIG = Config(
    schema=1,
    node=Node(name="n"),
    broker=BrokerConfig(url="mqtt://127.0.0.1"),
    pipeline=(
        PipelineConfig(
            name="p",
            package="-",
            source=Source(topic="x/{stream}"),
            delivery=DeliveryConfig(mode="end_to_end", resend_after="1s"),
        ),
    ),
)


class Sender:
    """Outboxes with paho in the place of the daemon's connection."""

    def __init__(self, folder: Path, port: int, boot: str) -> None:
        self._flying: dict[int, int] = {}
        self._work = threading.Event()
        self._ended = False
        self.outboxes = Outboxes(CONFIG, folder, boot, wake=self._work.set, on_gap=self._announce)
        self.outbox = self.outboxes.of["p"]
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{PREFIX}/ack", 1)
        self._client.on_message = lambda _, __, message: self.outboxes.acknowledge(message.payload)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._pump)
        self._thread.start()
        self.outboxes.start()

    def close(self) -> None:
        """Stop cleanly: what is not acknowledged is on disk."""
        self._ended = True
        self._work.set()
        self._thread.join()
        self._client.loop_stop()
        self._client.disconnect()
        assert self.outboxes.close(10.0)

    def _pump(self) -> None:
        while not self._ended:
            taken = self.outbox.take(20)
            for outgoing in taken:
                said = self._client.publish(outgoing.topic, outgoing.payload, 1)
                said.wait_for_publish(10.0)
                self.outbox.settle([outgoing.ticket])
            if not taken:
                self._work.wait(0.1)
                self._work.clear()

    def _announce(self, gaps: list[Gap]) -> None:
        self._client.publish(f"{PREFIX}/gap", gap_message(gaps), 1)


@contextmanager
def subscriber(port: int, database: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the subscriber, and kill it in the end."""
    arguments = [sys.executable, str(SUBSCRIBER), "127.0.0.1", str(port), "default", "n", str(database)]
    process = subprocess.Popen(arguments)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def entry(boot: str, number: int) -> Entry:
    """Return a prediction."""
    said = {"pipeline": "p", "stream": "s", "boot": boot, "seq": number}
    return Entry("s", number, f"{PREFIX}/pred/p/s", json.dumps(said).encode())


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    end = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def kept(database: Path) -> list[tuple[str, int]]:
    """Return (boot, seq) of everything the subscriber has."""
    if not database.exists():
        return []
    connection = sqlite3.connect(database, timeout=10.0)
    try:
        return connection.execute("SELECT boot, seq FROM prediction ORDER BY boot, seq").fetchall()
    except sqlite3.OperationalError:
        return []  # it has not made its tables yet
    finally:
        connection.close()


def test_nothing_is_lost_or_kept_twice(mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> None:
    """The subscriber is killed twice and the sender restarted once; the broker keeps nothing for anybody."""
    broker, database, state = mosquitto(), tmp_path / "kept.db", tmp_path / "state"
    sender = Sender(state, broker.port, "b1")
    released: list[int] = []
    for number in range(1, 51):  # nobody listens
        sender.outbox.put([entry("b1", number)], lambda number=number: released.append(number))  # type: ignore[misc]
    wait_for(lambda: len(released) == 50)
    assert sender.outbox.health().delivered == 0
    for first in (51, 101):
        with subscriber(broker.port, database):
            before = len(kept(database))
            for number in range(first, first + 50):
                sender.outbox.put([entry("b1", number)], lambda: None)
            wait_for(lambda: len(kept(database)) > before)  # noqa: B023
    sender.close()
    sender = Sender(state, broker.port, "b2")
    for number in range(1, 51):
        sender.outbox.put([entry("b2", number)], lambda: None)
    with subscriber(broker.port, database):
        wait_for(lambda: _empty(sender))
    sender.close()
    assert kept(database) == [*(("b1", n) for n in range(1, 151)), *(("b2", n) for n in range(1, 51))]


def _empty(sender: Sender) -> bool:
    health = sender.outbox.health()
    return not health.stored and not health.waiting


def test_a_gap_message_is_what_the_page_says() -> None:
    """One JSON object with a list."""
    said = msgspec.json.decode(gap_message([Gap("p", "s", "b", 1, 2, "bound_oldest")]))
    assert said == {
        "gaps": [{"pipeline": "p", "stream": "s", "boot": "b", "first": 1, "last": 2, "reason": "bound_oldest"}]
    }
