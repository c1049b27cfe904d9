"""Sensors: readings at a steady rate, each with a number of its own, kept until the broker has acknowledged them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from faults.proxy import HOST
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

STREAMS = ("north", "east", "south", "west")
WINDOW = 20  # readings in flight between sensors and broker


class Plant:
    """Publishes ``{"a": n, "b": 0}`` at QoS 1 with n = 1, 2, 3 …, so that the sum that comes back is n.

    Float32 holds whole numbers below 2^24 exactly. The session is persistent: what the broker has not acknowledged is
    sent again after every reconnect, so an outage of the broker loses nothing here.

    Args:
        port: The broker's.
        on_sent: Called with a reading's number, its stream, and the moment in monotonic seconds.
        on_acknowledged: Called with its number once the broker has acknowledged it.
        rate: Readings per second.
    """

    def __init__(
        self,
        port: int,
        on_sent: Callable[[int, str, float], None],
        on_acknowledged: Callable[[int], None],
        rate: float = 100.0,
    ) -> None:
        self.rate = rate
        self.number = 0
        self._on_sent, self._on_acknowledged = on_sent, on_acknowledged
        self._numbers: dict[int, int] = {}  # packet identifier -> reading
        self._early: set[int] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id="plant", clean_session=False, protocol=mqtt.MQTTv311
        )
        self._client.max_inflight_messages_set(WINDOW)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_publish = self._published
        self._client.connect(HOST, port)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Plant:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._client.disconnect()
        self._client.loop_stop()

    def stop(self) -> None:
        """Send no new readings; those on their way are still repeated until they are acknowledged."""
        self._stopping.set()
        self._thread.join()

    @property
    def unacknowledged(self) -> int:
        """Return how many readings the broker has not acknowledged."""
        with self._lock:
            return len(self._numbers)

    def send(self, number: int, stream: str) -> None:
        """Publish one reading."""
        self._on_sent(number, stream, time.monotonic())
        message = self._client.publish(f"sensors/{stream}/reading", b'{"a":%d,"b":0}' % number, qos=1)
        with self._lock:
            if message.mid in self._early:
                self._early.discard(message.mid)
                done = True
            else:
                self._numbers[message.mid] = number
                done = False
        if done:
            self._on_acknowledged(number)

    def send_raw(self, topic: str, payload: bytes) -> None:
        """Publish what is no reading, at QoS 0 and outside the account."""
        self._client.publish(topic, payload, qos=0)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.wait(max(due - time.monotonic(), 0.0)):
            due = max(due + 1.0 / self.rate, time.monotonic() - 1.0)
            self.number += 1
            self.send(self.number, STREAMS[self.number % len(STREAMS)])

    def _published(self, _client: mqtt.Client, _data: object, mid: int, *_: object) -> None:
        with self._lock:
            number = self._numbers.pop(mid, None)
            if number is None:
                self._early.add(mid)  # the acknowledgement was faster than the return from publish
        if number is not None:
            self._on_acknowledged(number)
