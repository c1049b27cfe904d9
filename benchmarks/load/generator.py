"""The load: a process of its own that sends readings and takes answers in over one plain socket.

Closed loop: at most so many readings are unanswered, and whenever answers come new readings go out, so that the program
under test decides the rate. Open loop: readings go out when their time has come, whatever the answers do.
Each answer is compared with what is expected of that reading, after the phase and not inside it.
"""

from __future__ import annotations

import json
import math
import select
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any, TypeAlias

from benchmarks.load import packets
from benchmarks.load.broker import HOST
from devices.process import cpu_seconds

Answer: TypeAlias = tuple[bytes, bytes]  # topic, payload

_READ_BYTES = 1 << 18
_SILENCE = 10.0  # seconds without an answer, after which what is missing is lost
_QOS_1 = 1


class Session:
    """One connection that readings go out and answers come in on.

    Args:
        job: ``port``; ``topic_in`` with ``{stream}``; ``topic_out``, a filter whose last level is the stream;
            ``qos``; ``skip``, the first readings of a stream, which get no answer; ``many_streams``, whether each
            reading is a stream of its own; ``readings``; ``expected`` (None: not known yet); ``processes`` and
            ``broker``, process ids.
    """

    def __init__(self, job: Mapping[str, Any]) -> None:
        self._job = job
        self._many: bool = job["many_streams"]
        readings = [text.encode() for text in job["readings"]]
        names = [str(index) if self._many else "pump" for index in range(len(readings))]
        self._frames = [
            packets.publish(job["topic_in"].replace("{stream}", name), payload, job["qos"])
            for name, payload in zip(names, readings, strict=True)
        ]
        self._skip: int = job["skip"]
        self._expected: list[float] | None = job["expected"]
        self._sent = self._answered = 0
        self._packet_id = 0
        self._reader = packets.PacketReader()
        self._socket = socket.create_connection((HOST, job["port"]))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(packets.connect("load-generator"))
        self._await(packets.CONNACK)
        self._socket.sendall(packets.subscribe(job["topic_out"], 0))
        self._await(packets.SUBACK)

    def run(self, phase: Mapping[str, Any]) -> dict[str, Any]:
        """Run one phase and return what was seen in it.

        Args:
            phase: ``kind``: "closed" with ``in_flight`` and ``seconds`` or ``readings``; "open" with ``rate`` and
                ``seconds``; or "rest" with ``seconds``.
        """
        sent, answered = self._sent, self._answered
        used, each, began = self._cpu(), self._cpu_each(), time.perf_counter()
        answers: list[Answer] = []
        times: list[float] = []
        if phase["kind"] == "rest":
            time.sleep(phase["seconds"])
        elif phase["kind"] == "open":
            answers, times = self._open(phase["rate"], round(phase["rate"] * phase["seconds"]))
        else:
            answers = self._closed(phase["in_flight"], phase.get("seconds"), phase.get("readings", 0))
        seconds = time.perf_counter() - began
        cpu = {name: after - used[name] for name, after in self._cpu().items()}
        values = self._values(answers)
        return {
            "name": phase["name"],
            "seconds": seconds,
            "sent": self._sent - sent,
            "answered": self._answered - answered,
            "lost": self._unanswered(),
            "cpu": cpu,
            "cpu_each": [after - before for before, after in zip(each, self._cpu_each(), strict=True)],
            "latencies_us": sorted(round(1e6 * one, 1) for one in times),
            "worst": self._worst(values),
            "values": values if self._expected is None else [],
        }

    def _closed(self, in_flight: int, seconds: float | None, readings: int) -> list[Answer]:
        answers: list[Answer] = []
        end = time.perf_counter() + (seconds or 0.0)
        last = self._sent + readings
        while time.perf_counter() < end if seconds else self._sent < last:
            room = in_flight - self._unanswered()
            if room > 0:
                self._send(room if seconds else min(room, last - self._sent))
            new = self._receive(_SILENCE)
            if not new and self._unanswered():
                break
            answers += new
        return answers + self._rest()

    def _open(self, rate: float, readings: int) -> tuple[list[Answer], list[float]]:
        answers: list[Answer] = []
        sent_at: list[float] = []
        times: list[float] = []
        began = time.perf_counter()
        while len(sent_at) < readings:
            now = time.perf_counter()
            wait = began + len(sent_at) / rate - now
            if wait <= 0:
                sent_at.append(now)
                self._send(1)
                continue
            new = self._receive(wait)
            now = time.perf_counter()
            times += [now - sent_at[len(times) + index] for index in range(len(new))]
            answers += new
        while self._unanswered() and (new := self._receive(_SILENCE)):
            now = time.perf_counter()
            times += [now - sent_at[len(times) + index] for index in range(len(new))]
            answers += new
        return answers, times

    def _rest(self) -> list[Answer]:
        answers: list[Answer] = []
        while self._unanswered() and (new := self._receive(_SILENCE)):
            answers += new
        return answers

    def _unanswered(self) -> int:
        return max(self._sent - self._skip, 0) - self._answered

    def _send(self, count: int) -> None:
        parts = []
        for _ in range(count):
            head, tail = self._frames[self._sent % len(self._frames)]
            self._sent += 1
            if self._job["qos"] == _QOS_1:
                self._packet_id = self._packet_id % 0xFFFF + 1
                parts += [head, self._packet_id.to_bytes(2, "big"), tail]
            else:
                parts += [head, tail]
        self._socket.sendall(b"".join(parts))

    def _receive(self, timeout: float) -> list[Answer]:
        """Return the answers that come within so many seconds; empty where none does."""
        end = time.perf_counter() + timeout
        while True:
            readable, _, _ = select.select([self._socket], [], [], max(end - time.perf_counter(), 0.0))
            if not readable:
                return []
            data = self._socket.recv(_READ_BYTES)
            if not data:
                raise ConnectionError("the broker hung up")
            found = [
                packets.content(*packet) for packet in self._reader.feed(data) if packet[0] >> 4 == packets.PUBLISH
            ]
            if found:
                self._answered += len(found)
                return found

    def _await(self, kind: int) -> None:
        while True:
            data = self._socket.recv(_READ_BYTES)
            if not data:
                raise ConnectionError("the broker hung up")
            if any(first >> 4 == kind for first, _ in self._reader.feed(data)):
                return

    def _values(self, answers: list[Answer]) -> list[tuple[int, float]]:
        """Return (number of the reading, value) of each answer; with one stream answers come in order."""
        count = len(self._frames)
        if self._many:
            return [(int(topic.rpartition(b"/")[2]), value_of(payload)) for topic, payload in answers]
        first = self._answered - len(answers) + self._skip
        return [((first + index) % count, value_of(payload)) for index, (_, payload) in enumerate(answers)]

    def _worst(self, values: list[tuple[int, float]]) -> float | None:
        if self._expected is None or not values:
            return None
        return max(abs(value - self._expected[index]) for index, value in values)

    def _cpu(self) -> dict[str, float]:
        return {
            "program": sum(self._cpu_each()),
            "broker": cpu_seconds(self._job["broker"]) or 0.0,
            "generator": time.process_time(),
        }

    def _cpu_each(self) -> list[float]:
        return [cpu_seconds(process_id) or 0.0 for process_id in self._job["processes"]]


def value_of(payload: bytes) -> float:
    """Return the number behind "value" in an answer, however the rest of it looks; infinity where there is none."""
    begin = payload.find(b'"value":') + 8
    if begin < 8:
        return math.inf
    ends = [end for mark in b",}" if (end := payload.find(mark, begin)) >= 0]
    return float(payload[begin : min(ends)])


def main() -> None:
    """Read a job from standard input, run its phases, write what was seen to standard output."""
    job = json.load(sys.stdin)
    session = Session(job)
    found = []
    for phase in job["phases"]:
        found.append(session.run(phase))
        if found[-1]["lost"]:
            break  # answers could no longer be told apart
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
