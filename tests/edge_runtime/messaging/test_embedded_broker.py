"""The embedded broker keeps MQTT's promises, seen by an independent client."""

from __future__ import annotations

import logging
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from paho.mqtt import client as mqtt

from edge_runtime.errors import EnvironmentFault
from edge_runtime.messaging.embedded_broker import HOST, EmbeddedBroker

PATIENCE = 10.0


class Client:
    """A plain MQTT 3.1.1 client that keeps what it receives."""

    def __init__(self, port: int, name: str, will: str = "") -> None:
        self.received: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
        self.paho = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv311)
        self.paho.on_message = lambda client, userdata, message: self.received.put(message)
        if will:
            self.paho.will_set(will, b"lost", qos=1, retain=True)
        connected = threading.Event()
        self.paho.on_connect = lambda *_: connected.set()
        self.paho.connect(HOST, port)
        self.paho.loop_start()
        assert connected.wait(PATIENCE)

    def subscribe(self, topic: str) -> Client:
        """Subscribe at QoS 1 and return once the broker has granted it."""
        granted: queue.Queue[None] = queue.Queue()
        self.paho.on_subscribe = lambda *_: granted.put(None)
        self.paho.subscribe(topic, qos=1)
        granted.get(timeout=PATIENCE)
        return self

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1 and wait for the acknowledgement."""
        self.paho.publish(topic, payload, qos=1, retain=retain).wait_for_publish(PATIENCE)

    def next_payload(self, *, retained: bool) -> bytes:
        """Return the next message, passing over those that differ in being retained."""
        while True:
            message = self.received.get(timeout=PATIENCE)
            if message.retain == retained:
                return bytes(message.payload)

    def cut(self) -> None:
        """Lose the connection as a crashed process does."""
        self.paho.socket().shutdown(socket.SHUT_RDWR)
        self.paho.loop_stop()

    def close(self) -> None:
        """Leave politely."""
        self.paho.disconnect()
        self.paho.loop_stop()


@pytest.fixture
def embedded() -> Iterator[EmbeddedBroker]:
    """Return a running broker."""
    with EmbeddedBroker() as broker:
        yield broker


def test_qos_1_messages_arrive_once_in_order(embedded: EmbeddedBroker) -> None:
    """Every message is acknowledged and delivered exactly once."""
    subscriber, publisher = Client(embedded.port, "s").subscribe("a/+"), Client(embedded.port, "p")
    sent = [str(number).encode() for number in range(200)]
    for payload in sent:
        publisher.publish("a/b", payload)
    assert [subscriber.next_payload(retained=False) for _ in sent] == sent
    assert subscriber.received.empty()
    publisher.close()
    subscriber.close()


def test_a_retained_message_waits_for_a_later_subscriber(embedded: EmbeddedBroker) -> None:
    """The last retained message is the one that is kept."""
    publisher = Client(embedded.port, "p")
    publisher.publish("status", b"starting", retain=True)
    publisher.publish("status", b"online", retain=True)
    late = Client(embedded.port, "late").subscribe("status")
    assert late.next_payload(retained=True) == b"online"
    publisher.close()
    late.close()


def test_the_will_is_sent_when_a_client_vanishes_and_is_retained(embedded: EmbeddedBroker) -> None:
    """Those who listen hear it at once, those who come later find it."""
    watcher = Client(embedded.port, "w").subscribe("status")
    Client(embedded.port, "victim", will="status").cut()
    assert watcher.next_payload(retained=False) == b"lost"
    late = Client(embedded.port, "late").subscribe("status")
    assert late.next_payload(retained=True) == b"lost"
    watcher.close()
    late.close()


def test_no_will_after_a_polite_goodbye(embedded: EmbeddedBroker) -> None:
    """DISCONNECT discards the will."""
    watcher = Client(embedded.port, "w").subscribe("#")
    polite = Client(embedded.port, "polite", will="status")
    polite.publish("hello", b"1")
    polite.close()
    watcher.paho.publish("end", b"end", qos=1)
    assert [watcher.next_payload(retained=False), watcher.next_payload(retained=False)] == [b"1", b"end"]
    watcher.close()


def test_it_stops_and_starts_again_on_its_port(embedded: EmbeddedBroker) -> None:
    """A stopped broker frees the port, and comes back where it was."""
    port = embedded.port
    embedded.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port), timeout=PATIENCE)
    embedded.start()
    assert embedded.port == port
    Client(port, "again").close()


def test_stopping_cuts_clients_off_even_while_they_publish(embedded: EmbeddedBroker) -> None:
    """It ends like a broker that is killed, and does not wait for anybody's handshake."""
    busy, lost = Client(embedded.port, "busy"), threading.Event()
    busy.paho.on_disconnect = lambda *_: lost.set()
    for number in range(500):
        busy.paho.publish("x", str(number), qos=1)
    embedded.stop()
    assert lost.wait(PATIENCE)
    assert "embedded-broker" not in {thread.name for thread in threading.enumerate()}
    busy.paho.loop_stop()


def test_a_taken_port_is_an_error_with_a_code(embedded: EmbeddedBroker) -> None:
    """A failure to start is never hidden with the log."""
    with pytest.raises(EnvironmentFault) as caught:
        EmbeddedBroker(port=embedded.port).start()
    assert caught.value.code == "E-DEMO-BROKER-START"
    assert str(embedded.port) in caught.value.message


def test_its_log_stays_off_the_screen(embedded: EmbeddedBroker, capfd: pytest.CaptureFixture[str]) -> None:
    """Garbage from a client is the broker's business only."""
    with socket.create_connection((HOST, embedded.port), timeout=PATIENCE) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
    Client(embedded.port, "well-behaved").close()
    logging.getLogger("amqtt.broker").error("a report")
    assert capfd.readouterr() == ("", "")


def test_without_amqtt_the_error_says_what_to_install() -> None:
    """The library is optional; the module that needs it names the extra."""
    script = (
        "import sys; sys.modules['amqtt.adapters'] = None\n"
        "from edge_runtime.errors import EnvironmentFault\n"
        "try:\n    import edge_runtime.messaging.embedded_broker\n"
        "except EnvironmentFault as error:\n    print(error)\n"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "E-DEMO-BROKER-MISSING" in shown
    assert "pip install 'edgeopt[demo]'" in shown
