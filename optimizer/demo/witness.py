"""A subscriber that sees what anyone on the factory's network would see, and judges the demo by nothing else."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

import msgspec

from edge_runtime.messaging.broker import Broker
from edge_runtime.messaging.connection import Connection, Session
from edge_runtime.messaging.json_payload import Prediction, Status
from edge_runtime.messaging.message import Message

EVERYTHING = "edgeopt/#"


@dataclass(frozen=True)
class Heard:
    """One message: where, what, and when it arrived (time.monotonic)."""

    topic: str
    payload: bytes
    at: float


class Witness:
    """Listens to everything the daemon publishes, in order of arrival."""

    def __init__(self, broker: Broker) -> None:
        session = Session(client_id="demo-witness", subscriptions=[(EVERYTHING, 1)])
        self._connection = Connection(broker, session, on_messages=self._hear_all)
        self._heard: queue.Queue[Heard] = queue.Queue()
        self.latest: dict[str, bytes] = {}

    def __enter__(self) -> Witness:
        self._connection.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.stop()

    def listen(self, seconds: float) -> Iterator[Heard]:
        """Yield messages as they arrive, until the time is over."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                heard = self._heard.get(timeout=left)
            except queue.Empty:
                return
            self.latest[heard.topic] = heard.payload
            yield heard

    def predictions(self, seconds: float) -> Iterator[tuple[float, Prediction]]:
        """Yield (moment of arrival, prediction) until the time is over."""
        for heard in self.listen(seconds):
            if "/pred/" in heard.topic:
                yield heard.at, msgspec.json.decode(heard.payload, type=Prediction)

    def sees_state(self, state: str, seconds: float) -> bool:
        """Wait for the daemon's status to say this; False where it does not in time."""
        return any(
            heard.topic.endswith("/status") and msgspec.json.decode(heard.payload, type=Status).state == state
            for heard in self.listen(seconds)
        )

    def _hear_all(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._hear(message)
        self._connection.acknowledge(messages)

    def _hear(self, message: Message) -> None:
        self._heard.put(Heard(message.topic, message.payload, time.monotonic()))
