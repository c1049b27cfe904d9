"""A table's rows as messages at a steady pace: what sensors would have sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import msgspec

from edge_runtime.errors import BadInput, EnvironmentFault
from edge_runtime.messaging.connection import Connection
from edge_runtime.messaging.topics import fill, problem_in_template
from edge_runtime.sources.table import Row

PATIENCE_SECONDS = 60.0  # a broker that restarts is back by then

_MOST_UNACKNOWLEDGED = 1000
_POLL_SECONDS = 0.001
_NOT_IN_A_LEVEL = set("+#/\0")


@dataclass(frozen=True)
class TopicTemplate:
    """A topic whose ``{column}`` placeholders are filled from each row.

    Raises:
        BadInput: E-REPLAY-TOPIC, it is no topic one can publish on, or a placeholder names no column.
    """

    text: str
    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        found = problem_in_template(self.text, self.columns)
        if found:
            raise BadInput("E-REPLAY-TOPIC", f"--topic: {found[0]}", found[1])

    def fill(self, row: Row) -> str:
        """Return the topic of one row.

        Raises:
            BadInput: E-REPLAY-TOPIC-VALUE, a cell is empty or holds a character that means something in a topic.
        """
        for column in self.columns:
            cell = row.cells[column]
            if f"{{{column}}}" in self.text and (not cell or set(cell) & _NOT_IN_A_LEVEL):
                raise BadInput(
                    "E-REPLAY-TOPIC-VALUE",
                    f"line {row.line}: column {column} is {cell!r}, which cannot be a level of a topic",
                    "use columns without empty cells and without + # / in the topic",
                )
        return fill(self.text, row.cells)


def messages(rows: Iterable[Row], topic: TopicTemplate) -> Iterator[tuple[str, bytes]]:
    """Yield (topic, JSON object) of every row."""
    for row in rows:
        yield topic.fill(row), msgspec.json.encode(row.values())


class Pace:
    """Waits so that item n comes n / rate seconds after item 0, however long the work between takes.

    The schedule is absolute: an item that is late does not shift those after it, so the mean rate stays true.

    Args:
        rate: Items per second; 0 never waits.
    """

    def __init__(
        self, rate: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._rate, self._clock, self._sleep = rate, clock, sleep
        self._started: float | None = None
        self._count = 0

    def wait(self) -> None:
        """Return when the next item is due."""
        if self._started is None:
            self._started = self._clock()
        elif self._rate:
            delay = self._started + self._count / self._rate - self._clock()
            if delay > 0:
                self._sleep(delay)
        self._count += 1


@dataclass(frozen=True)
class Played:
    """What a playback did: messages handed over and acknowledged, and how long that took."""

    messages: int
    seconds: float

    @property
    def rate(self) -> float:
        """Return messages per second."""
        return self.messages / self.seconds if self.seconds else 0.0


class Player:
    """Publishes messages at a pace, with a bounded number unacknowledged.

    Args:
        connection: Started; stays the caller's.
        pace: When each message is due.
        qos: 0 or 1; at 1 nothing counts as played before its PUBACK.
    """

    def __init__(self, connection: Connection, pace: Pace, qos: int) -> None:
        self._connection, self._pace, self._qos = connection, pace, qos
        self.sent = 0

    def play(self, items: Iterable[tuple[str, bytes]]) -> Played:
        """Publish all items and wait for their acknowledgements.

        Raises:
            EnvironmentFault: E-REPLAY-BROKER, the broker is gone or acknowledges nothing for PATIENCE_SECONDS.
        """
        started = time.monotonic()
        for topic, payload in items:
            self._pace.wait()
            self._wait_for_room(_MOST_UNACKNOWLEDGED - 1)
            self._publish(topic, payload)
            self.sent += 1
        self._wait_for_room(0)
        return Played(self.sent, time.monotonic() - started)

    def _publish(self, topic: str, payload: bytes) -> None:
        if self._connection.publish(topic, payload, qos=self._qos):
            return
        if self._connection.connected:  # so its queue is full of long messages
            self._wait_for_room(0)
            if self._connection.publish(topic, payload, qos=self._qos):
                return
        raise self._broker_gone("the connection takes no more messages")

    def _wait_for_room(self, most: int) -> None:
        """Return when at most this many messages are unacknowledged."""
        waiting, since = self._connection.unacknowledged(), time.monotonic()
        while waiting > most:
            time.sleep(_POLL_SECONDS)
            now = self._connection.unacknowledged()
            if now != waiting:
                waiting, since = now, time.monotonic()
            elif time.monotonic() - since > PATIENCE_SECONDS:
                raise self._broker_gone(f"no acknowledgement for {PATIENCE_SECONDS:.0f} s")

    def _broker_gone(self, why: str) -> EnvironmentFault:
        waiting = self._connection.unacknowledged()
        return EnvironmentFault(
            "E-REPLAY-BROKER",
            f"{why}; {self.sent} messages were sent, {waiting} of them are not acknowledged",
            "check the broker and play the table again",
        )
