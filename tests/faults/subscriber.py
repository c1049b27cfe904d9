"""The control room: takes every prediction, acknowledges them end to end, and feeds the ledger."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from faults.ledger import Key, Ledger
from faults.proxy import HOST
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

NODE = "edgeopt/plant/gateway"
_ACKNOWLEDGE_EVERY = 0.1  # seconds


class Subscriber:
    """A subscriber with a session of its own, so that the broker keeps for it what comes while it is away.

    Attributes:
        health: Latest health message, {} before the first.
        states: (state, boot, moment) of all status messages.
        latencies: (moment, seconds from the sensor's send to the arrival here, historical) of each new prediction.
        acknowledging: Whether it sends the cumulative acknowledgements of end_to_end delivery; may be changed.
        health_log: (moment, health) of all health messages, the last 5000.

    Args:
        port: The broker's.
        acknowledging: See above.
    """

    def __init__(self, port: int, *, acknowledging: bool) -> None:
        self.ledger = Ledger()
        self.health: dict[str, Any] = {}
        self.health_log: list[tuple[float, dict[str, Any]]] = []
        self.states: list[tuple[str, str, float]] = []
        self.latencies: list[tuple[float, float, bool]] = []
        self._port, self.acknowledging = port, acknowledging
        self._sent_at: dict[int, float] = {}
        self._acknowledged: dict[Key, int] = {}
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._client = self._make_client()
        self._thread = threading.Thread(target=self._acknowledge, daemon=True)
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join()
        self.leave()

    def __enter__(self) -> Subscriber:
        return self

    def leave(self) -> None:
        """Disconnect; the broker keeps what comes."""
        self._client.disconnect()
        self._client.loop_stop()

    def come_back(self) -> None:
        """Connect again after `leave`."""
        self._client = self._make_client()

    def sent(self, number: int, stream: str, moment: float) -> None:
        """Note a reading on its way; for the plant."""
        with self._changed:
            self.ledger.sent(number, stream)
            self._sent_at[number] = moment

    def acknowledged(self, number: int) -> None:
        """Note a reading that the broker has acknowledged; for the plant."""
        with self._changed:
            self.ledger.acknowledged(number)

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Tell whether the condition came true in time; looked at with every message and twice a second."""
        end = time.monotonic() + seconds
        with self._changed:
            while not condition():
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, 0.5))
        return True

    def _make_client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id="control-room", clean_session=False, protocol=mqtt.MQTTv311
        )
        client.reconnect_delay_set(1, 1)
        client.on_connect = lambda one, *_: one.subscribe("edgeopt/#", 1)
        client.on_message = lambda _client, _data, message: self._take(message)
        client.connect(HOST, self._port)
        client.loop_start()
        return client

    def _take(self, message: mqtt.MQTTMessage) -> None:
        kind = message.topic.removeprefix(f"{NODE}/").partition("/")[0]
        if kind not in {"pred", "health", "status", "gap"} or not message.payload:
            return
        body, now = json.loads(message.payload), time.monotonic()
        with self._changed:
            if kind == "health":
                self.health = body
                self.health_log = [*self.health_log[-4999:], (now, body)]
            elif kind == "status":
                self.states.append((body["state"], body["boot"], now))
            elif kind == "gap":
                for one in body.get("gaps", [body]):
                    self.ledger.announce(Key(one["pipeline"], one["stream"], one["boot"]), one["first"], one["last"])
            elif self.ledger.received(body):
                begin = self._sent_at.get(round(body.get("value", -1)), now)
                self.latencies.append((now, now - begin, bool(body.get("historical"))))
            else:  # the daemon does not know that we have it: the acknowledgement, or what followed from it, was lost
                self._acknowledged.pop(Key(body["pipeline"], body["stream"], body["boot"]), None)
            self._changed.notify_all()

    def _acknowledge(self) -> None:
        while not self._closing.wait(_ACKNOWLEDGE_EVERY):
            if not self.acknowledging or not self._client.is_connected():
                continue
            with self._changed:
                marks = {key: self.ledger.watermark(key) for key in self.ledger.streams()}
                new = {key: mark for key, mark in marks.items() if mark > self._acknowledged.get(key, 0)}
                self._acknowledged.update(new)
            if new:
                acks = [{**key._asdict(), "seq": mark} for key, mark in new.items()]
                self._client.publish(f"{NODE}/ack", json.dumps({"acks": acks}).encode(), qos=1)
