"""Who lost it: what the fault proxy saw pass between daemon and broker."""

from __future__ import annotations

import json
import struct
import threading
from dataclasses import dataclass, field

from faults.ledger import Key, Verdict
from faults.packets import PUBACK, PUBLISH, Direction, Fate, Rule, body, everything, kind, topic


@dataclass
class Blame:
    """A verdict's losses by who caused them.

    Attributes:
        daemon: Readings it acknowledged to the broker although their prediction was never acknowledged to it.
        broker: Readings it took and never delivered (again), or whose prediction it acknowledged and lost.
        gaps_by_daemon: Missing messages that the broker has not acknowledged.
    """

    daemon: list[int] = field(default_factory=list)
    broker: list[int] = field(default_factory=list)
    gaps_by_daemon: list[tuple[Key, int]] = field(default_factory=list)


class Witness:
    """A rule that changes nothing itself and notes what passes, after `inner` has decided what does.

    Attributes:
        inner: The faults, if any.
    """

    def __init__(self) -> None:
        self.inner: Rule = everything
        self._lock = threading.Lock()
        self._readings: dict[int, int] = {}  # packet identifier -> number, broker to daemon
        self._predictions: dict[int, tuple[Key, int, int]] = {}  # packet identifier -> message and its number
        self._finished: set[int] = set()  # readings that the daemon has acknowledged
        self._taken: set[tuple[Key, int]] = set()  # messages that the broker has acknowledged
        self._taken_numbers: set[int] = set()

    def __call__(self, direction: Direction, packet: bytes) -> Fate:
        """Note one packet."""
        fate = self.inner(direction, packet)
        if fate and kind(packet) in {PUBLISH, PUBACK}:
            with self._lock:
                self._note(direction, packet)
        return fate

    def blame(self, verdict: Verdict, *, end_to_end: bool) -> Blame:
        """Return who caused the losses of a verdict; end to end, a broker's PUBACK excuses the daemon from nothing."""
        blame = Blame()
        with self._lock:
            for number in verdict.lost:
                safe = number in self._taken_numbers and not end_to_end
                guilty = blame.daemon if number in self._finished and not safe else blame.broker
                guilty.append(number)
            holes = [(key, sequence) for key, numbers in verdict.gaps.items() for sequence in numbers]
            blame.gaps_by_daemon = [hole for hole in holes if end_to_end or hole not in self._taken]
        return blame

    def _note(self, direction: Direction, packet: bytes) -> None:
        if kind(packet) == PUBACK:
            (identifier,) = struct.unpack_from(">H", packet, body(packet))
            if direction == "up" and identifier in self._readings:
                self._finished.add(self._readings[identifier])
            elif direction == "down" and identifier in self._predictions:
                key, sequence, number = self._predictions[identifier]
                self._taken.add((key, sequence))
                self._taken_numbers.add(number)
            return
        where, identifier = topic(packet), _identifier(packet)
        if identifier is None:
            return
        if direction == "down":
            self._readings.pop(identifier, None)
        else:
            self._predictions.pop(identifier, None)
        document = packet[_payload(packet) :]
        if direction == "down" and where.startswith("sensors/"):
            self._readings[identifier] = int(json.loads(document)["a"])
        elif direction == "up" and "/pred/" in where:
            message = json.loads(document)
            key = Key(message["pipeline"], message["stream"], message["boot"])
            self._predictions[identifier] = (key, int(message["seq"]), round(message["value"]))


def _identifier(publish: bytes) -> int | None:
    if not publish[0] & 0x06:
        return None
    return int(struct.unpack_from(">H", publish, _after_identifier(publish) - 2)[0])


def _payload(publish: bytes) -> int:
    """Return where the JSON of a PUBLISH begins, the properties of MQTT 5 skipped."""
    begin = _after_identifier(publish)
    return begin if publish[begin : begin + 1] == b"{" else begin + 1 + publish[begin]


def _after_identifier(publish: bytes) -> int:
    begin = body(publish)
    (length,) = struct.unpack_from(">H", publish, begin)
    return int(begin + 2 + length + (2 if publish[0] & 0x06 else 0))
