"""Clients that are not ours: sensors that publish, and a watcher that sees what arrives in the factory."""

from __future__ import annotations

import json
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from brokers import HOST, PATIENCE, find_program
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


class Sensors:
    """Publishes readings, as any MQTT 3.1.1 client would."""

    def __init__(self, port: int) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        self._client.connect(HOST, port)
        self._client.loop_start()

    def __enter__(self) -> Sensors:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Publish; at QoS 1 return once the broker has acknowledged."""
        message = self._client.publish(topic, payload, qos, retain)
        if qos:
            message.wait_for_publish(PATIENCE)
            assert message.is_published(), f"the broker did not acknowledge a message on {topic}"

    def send_numbers(self, topic: str, **fields: float) -> None:
        """Publish one good reading."""
        self.send(topic, json.dumps(fields).encode())

    def flood(self, topic: str, payloads: Iterable[bytes], *, qos: int) -> None:
        """Publish all at once; at QoS 1 return once the broker has acknowledged them."""
        messages = [self._client.publish(topic, payload, qos) for payload in payloads]
        for message in messages:
            message.wait_for_publish(PATIENCE)
            assert message.is_published(), f"a message on {topic} never left"


class Watcher:
    """Collects what the daemon says, from the moment it was made; `mosquitto_sub`, or paho where that is missing.

    Attributes:
        predictions: All of them in their order of arrival, their topic under "topic".
        states: (state, boot) of all status messages, the retained one first.
        health: The latest health message, {} before the first.
    """

    def __init__(self, port: int, topic_filter: str = "edgeopt/#") -> None:
        self.predictions: list[dict[str, Any]] = []
        self.states: list[tuple[str, str]] = []
        self.health: dict[str, Any] = {}
        self._ready = f"ready/{uuid.uuid4().hex}"
        self._is_ready = False
        self._changed = threading.Condition()
        program, filters = find_program("mosquitto_sub"), (topic_filter, self._ready)
        self._source: _MosquittoSub | _PahoSubscriber = (
            _MosquittoSub(program, port, filters, self._add) if program else _PahoSubscriber(port, filters, self._add)
        )
        with Sensors(port) as probe, self._changed:
            while not self._is_ready:
                probe.send(self._ready, b"{}", qos=0)
                self._changed.wait(0.05)

    def __enter__(self) -> Watcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.close()

    def wait_for(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Return once the condition holds, looking at every new message."""
        with self._changed:
            assert self._changed.wait_for(condition, seconds), self._complaint()

    def wait_for_predictions(self, count: int, seconds: float = PATIENCE) -> list[dict[str, Any]]:
        """Return the first `count` predictions once they are here."""
        self.wait_for(lambda: len(self.predictions) >= count, seconds)
        return self.predictions[:count]

    def wait_for_state(self, state: str) -> str:
        """Return the boot of the latest status once it is this state."""
        self.wait_for(lambda: bool(self.states) and self.states[-1][0] == state)
        return self.states[-1][1]

    def _add(self, topic: str, payload: bytes) -> None:
        body = json.loads(payload)
        with self._changed:
            if topic == self._ready:
                self._is_ready = True
            elif topic.endswith("/status"):
                self.states.append((body["state"], body["boot"]))
            elif topic.endswith("/health"):
                self.health = body
            else:
                self.predictions.append({"topic": topic, **body})
            self._changed.notify_all()

    def _complaint(self) -> str:
        return (
            f"waited in vain; {len(self.predictions)} predictions, the last {self.predictions[-1:]}, "
            f"states {self.states}, health {self.health}"
        )


class _MosquittoSub:
    """`mosquitto_sub -v -q 1`, which connects again by itself when the broker comes back."""

    def __init__(
        self, program: str, port: int, filters: tuple[str, ...], deliver: Callable[[str, bytes], None]
    ) -> None:
        topics = [word for one in filters for word in ("-t", one)]
        session = ["-c", "-i", f"watcher-{uuid.uuid4().hex}"]  # the broker keeps what comes while it is cut off
        command = [program, "-v", "-q", "1", "-h", HOST, "-p", str(port), *session, *topics]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self._deliver = deliver
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(PATIENCE)
        self._thread.join(PATIENCE)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                topic, _, payload = line.partition(b" {")  # a topic may hold spaces
                self._deliver(topic.decode(), b"{" + payload)


class _PahoSubscriber:
    """The same with paho."""

    def __init__(self, port: int, filters: tuple[str, ...], deliver: Callable[[str, bytes], None]) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        self._client.on_connect = lambda client, *_: client.subscribe([(one, 1) for one in filters])
        self._client.on_message = lambda _client, _user, message: deliver(message.topic, bytes(message.payload))
        self._client.connect(HOST, port)
        self._client.loop_start()

    def close(self) -> None:
        """End it."""
        self._client.disconnect()
        self._client.loop_stop()


def retained_state(port: int) -> tuple[str, str] | None:
    """Return (state, boot) of the status that the broker keeps for those who come later, None where it keeps none."""
    with Watcher(port, "edgeopt/+/+/status") as late:
        return late.states[0] if late.states else None
