"""The account of what was promised and what came: pure, so that a ledger that cannot fail would be seen."""

from __future__ import annotations

from collections import Counter, defaultdict
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
        announced: Sequence numbers missing and announced.
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
    def missing(self) -> int:
        """Return how many sequence numbers are missing without an announcement."""
        return sum(len(holes) for holes in self.gaps.values())


class Ledger:
    """Takes notes of readings sent, acknowledged and predicted; every reading has a number of its own.

    Not safe for threads: who feeds it holds a lock.
    """

    def __init__(self) -> None:
        self._sent: dict[int, str] = {}
        self._acknowledged: set[int] = set()
        self._by_number: dict[int, set[tuple[Key, int]]] = defaultdict(set)
        self._messages: dict[tuple[Key, int], int] = {}  # message -> reading's number
        self._copies: Counter[tuple[Key, int]] = Counter()
        self._highest_live: dict[Key, int] = {}
        self._watermark: dict[Key, int] = {}
        self._seen: dict[Key, set[int]] = defaultdict(set)
        self._announced: dict[Key, set[int]] = defaultdict(set)
        self._problems: list[str] = []

    def sent(self, number: int, stream: str) -> None:
        """Note a reading on its way."""
        self._sent[number] = stream

    def acknowledged(self, number: int) -> None:
        """Note that the sensor was told that its reading is safe."""
        self._acknowledged.add(number)

    def received(self, message: Mapping[str, Any]) -> bool:
        """Note a prediction; True where this message is new, False for a copy."""
        key = Key(message["pipeline"], message["stream"], message["boot"])
        sequence, number = int(message["seq"]), round(message.get("value", -1))
        identity = (key, sequence)
        self._copies[identity] += 1
        if identity in self._messages:
            if self._messages[identity] != number:
                self._blame(f"{identity} came with the values {self._messages[identity]} and {number}")
            return False
        if self._sent.get(number) != key.stream:
            self._blame(f"a prediction of {number} on {key.stream}, which nobody sent there")
        if not message.get("historical"):
            if sequence < self._highest_live.get(key, 0):
                self._blame(f"{identity} came after {self._highest_live[key]} and is not flagged historical")
            self._highest_live[key] = max(sequence, self._highest_live.get(key, 0))
        self._messages[identity] = number
        self._by_number[number].add(identity)
        self._seen[key].add(sequence)
        return True

    def announce(self, key: Key, first: int, last: int) -> None:
        """Note that the daemon says it had to drop these messages."""
        self._announced[key].update(range(first, last + 1))

    def watermark(self, key: Key) -> int:
        """Return the highest number up to which everything came or was announced as dropped."""
        mark = self._watermark.get(key, 0)
        while mark + 1 in self._seen[key] or mark + 1 in self._announced[key]:
            mark += 1
        self._watermark[key] = mark
        return mark

    def streams(self) -> list[Key]:
        """Return all streams of all runs that something came from."""
        return list(self._seen)

    def distinct(self, boot: str) -> int:
        """Return how many different messages of one run came."""
        return sum(len(numbers) for key, numbers in self._seen.items() if key.boot == boot)

    def outstanding(self) -> int:
        """Return how many acknowledged readings have no prediction yet."""
        return len(self._acknowledged - self._by_number.keys())

    def verdict(self) -> Verdict:
        """Return the account so far."""
        gaps: dict[Key, list[int]] = {}
        announced = 0
        for key, numbers in self._seen.items():
            holes = set(range(1, max(numbers) + 1)) - numbers
            announced += len(holes & self._announced[key])
            if unexplained := sorted(holes - self._announced[key]):
                gaps[key] = unexplained
        return Verdict(
            accepted=len(self._acknowledged),
            predicted=len(self._by_number),
            lost=sorted(self._acknowledged - self._by_number.keys()),
            repeated_messages=sum(self._copies.values()) - len(self._messages),
            repeated_readings=len(self._messages) - len(self._by_number),
            gaps=gaps,
            announced=announced,
            problems=list(self._problems),
        )

    def _blame(self, problem: str) -> None:
        if len(self._problems) < 20:
            self._problems.append(problem)


def unaccounted(outbox: Mapping[str, Any]) -> int:
    """Return accepted - delivered - stored - waiting - dropped of an outbox's account; 0 is right."""
    gone = outbox["delivered"] + sum(outbox["dropped"].values())
    return int(outbox["accepted"] - gone - outbox["stored"] - outbox["waiting"])
