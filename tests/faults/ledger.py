"""The account of what was promised and what came: pure, so that a ledger that cannot fail would be seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Key(NamedTuple):
    """What numbers its messages without gaps: one stream of one pipeline in one run of the daemon."""

    pipeline: str
    stream: str
    boot: str


@dataclass
class Verdict:
    """What the ledger found.

    Attributes:
        accepted: Readings acknowledged to the sensor.
        predicted: Different readings predicted.
        lost: Readings acknowledged and never predicted.
        repeated_messages: Copies of messages beyond the first of each.
        repeated_readings: Predictions of a reading beyond its first, under another number.
        gaps: Sequence numbers missing and not announced.
        announced: Messages that did not come and were announced as dropped, so that as many readings may be lost.
        problems: Contradictions, in words; never allowed.
    """

    accepted: int = 0
    predicted: int = 0
    lost: list[int] = field(default_factory=list)
    repeated_messages: int = 0
    repeated_readings: int = 0
    gaps: dict[Key, list[int]] = field(default_factory=dict)
    announced: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def unexplained(self) -> int:
        """Return how many readings are lost beyond what was announced as dropped."""
        return max(0, len(self.lost) - self.announced)

    @property
    def missing(self) -> int:
        """Return how many sequence numbers are missing without an announcement."""
        return sum(len(holes) for holes in self.gaps.values())


class Ledger:
    """Takes notes of readings sent, acknowledged and predicted; every reading has a number of its own.

    Not safe for threads: who feeds it holds a lock.
    """

    def __init__(self) -> None:
        self._sent: dict[int, str] = {}
        self._acknowledged = 0
        self._open: set[int] = set()  # acknowledged and not predicted
        self._predicted: set[int] = set()
        self._messages: dict[Key, dict[int, int]] = defaultdict(dict)  # sequence -> the reading's number
        self._copies = 0
        self._highest_live: dict[Key, int] = {}
        self._watermark: dict[Key, int] = {}
        self._announced: dict[Key, set[int]] = defaultdict(set)
        self._settled: dict[Key, set[int]] = defaultdict(set)  # said not to come any more, as they came or were dropped
        self._problems: list[str] = []

    def sent(self, number: int, stream: str) -> None:
        """Note a reading on its way."""
        self._sent[number] = stream

    def acknowledged(self, number: int) -> None:
        """Note that the sensor was told that its reading is safe."""
        self._acknowledged += 1
        if number not in self._predicted:
            self._open.add(number)

    def received(self, message: Mapping[str, Any]) -> bool:
        """Note a prediction; True where this message is new, False for a copy."""
        key = Key(message["pipeline"], message["stream"], message["boot"])
        sequence, number = int(message["seq"]), round(message.get("value", -1))
        known = self._messages[key].get(sequence)
        if known is not None:
            self._copies += 1
            if known != number:
                self._blame(f"{sequence} of {key} came with the values {known} and {number}")
            return False
        if self._sent.get(number) != key.stream:
            self._blame(f"a prediction of {number} on {key.stream}, which nobody sent there")
        if "after" in message:
            self._settled[key].update(range(int(message["after"]) + 1, sequence))
        if not message.get("historical"):
            highest = self._highest_live.get(key, 0)
            if sequence < highest:
                self._blame(f"{sequence} of {key} came after {highest} and is not flagged historical")
            self._highest_live[key] = max(sequence, highest)
        self._messages[key][sequence] = number
        self._predicted.add(number)
        self._open.discard(number)
        return True

    def announce(self, key: Key, first: int, last: int) -> None:
        """Note that the daemon says it had to drop these messages."""
        self._announced[key].update(range(max(first, 1), last + 1))

    def watermark(self, key: Key) -> int:
        """Return the highest number up to which everything came, or was announced as dropped, or will not come."""
        mark, seen, announced = self._watermark.get(key, 0), self._messages[key], self._announced.get(key, set())
        settled = self._settled.get(key, set())
        while mark + 1 in seen or mark + 1 in announced or mark + 1 in settled:
            mark += 1
        self._watermark[key] = mark
        return mark

    def streams(self) -> list[Key]:
        """Return all streams of all runs that something came from."""
        return list(self._messages)

    def outstanding(self) -> int:
        """Return how many acknowledged readings have no prediction yet, beyond those announced as dropped."""
        return max(0, len(self._open) - self._dropped())

    def verdict(self) -> Verdict:
        """Return the account so far."""
        gaps: dict[Key, list[int]] = {}
        for key, seen in self._messages.items():
            missing = set(range(1, max(seen) + 1)) - seen.keys() - self._announced.get(key, set())
            if missing:
                gaps[key] = sorted(missing)
        return Verdict(
            accepted=self._acknowledged,
            predicted=len(self._predicted),
            lost=sorted(self._open),
            repeated_messages=self._copies,
            repeated_readings=sum(len(seen) for seen in self._messages.values()) - len(self._predicted),
            gaps=gaps,
            announced=self._dropped(),
            problems=list(self._problems),
        )

    def _dropped(self) -> int:
        """Return how many messages were announced as dropped and did not come."""
        return sum(len(numbers - self._messages.get(key, {}).keys()) for key, numbers in self._announced.items())

    def _blame(self, problem: str) -> None:
        if len(self._problems) < 20:
            self._problems.append(problem)


def unaccounted(outbox: Mapping[str, Any]) -> int:
    """Return accepted - delivered - stored - waiting - dropped of an outbox's account; 0 is right."""
    gone = outbox["delivered"] + sum(outbox["dropped"].values())
    return int(outbox["accepted"] - gone - outbox["stored"] - outbox["waiting"])
